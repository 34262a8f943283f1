"""Sixty texts that a text-to-speech front end gets wrong, with the words that a person would say.

`None` stands for letters that an English backend cannot pronounce: it must name them instead of leaving words out.
"""

LONG = " ".join(["The old man walked along the river, and nobody knew his name."] * 167)  # 2004 words
HARD_TEXTS: dict[str, str | None] = {
    # numbers
    "The fund lost $3.4bn in 2019.": "the fund lost three point four billion dollars in two thousand nineteen",
    "A coffee is £2.50, a cake €4.": "a coffee is two pounds fifty pence a cake four euros",
    "About 12,500 people and 3 dogs came.": "about twelve thousand five hundred people and three dogs came",
    "The sum is −12.75.": "the sum is minus twelve point seven five",
    "She was 1st, he was 33rd.": "she was first he was thirty third",
    "Mix 2/3 of it with 1½ cups.": "mix two thirds of it with one and a half cups",
    "Prices rose 0.5% to 7%.": "prices rose zero point five percent to seven percent",
    "Read pages 12–15.": "read pages twelve to fifteen",
    "The 1980s and the '60s.": "the nineteen eighties and the sixties",
    "From 1914-1918 in 4 lines.": "from nineteen fourteen to nineteen eighteen in four lines",
    "Room 12 has 1 000 000 books.": "room twelve has one million books",
    "Solve 3 + 4 = 7 and 2 × 5 = 10.": "solve three plus four equals seven and two times five equals ten",
    # units
    "The car does 150 km/h.": "the car does one hundred and fifty kilometers per hour",
    "We used 320 kWh at 230 V.": "we used three hundred and twenty kilowatt hours at two hundred and thirty volts",
    "It was 31 °C, then -4°F.": "it was thirty one degrees celsius then minus four degrees fahrenheit",
    "Light goes 300,000 km/s.": "light goes three hundred thousand kilometers per second",
    "A 75 m² flat, 3rd floor.": "a seventy five square meters flat third floor",
    "He is 6'1\" and 82 kg.": "he is six foot one and eighty two kilograms",
    "Take 5 mg with 200 ml of water.": "take five milligrams with two hundred milliliters of water",
    "A 2.4 GHz chip with 512 MB.": "a two point four gigahertz chip with five hundred and twelve megabytes",
    "CO2 and H2O make rain.": "c o two and h two o make rain",
    "The wind blew at 9 m/s.": "the wind blew at nine meters per second",
    # abbreviations
    "See No. 7, Vol. 2, pp. 3-4.": "see number seven volume two pages three to four",
    "Dr. Lee met Mrs. Park.": "doctor lee met missus park",
    "Bring fruit, e.g. apples, pears, etc. to us.": "bring fruit for example apples pears et cetera to us",
    "It is late, i.e. past ten.": "it is late that is past ten",
    "Gen. Grant and Sgt. Hill left.": "general grant and sergeant hill left",
    "St. John lives on Elm St. with us.": "saint john lives on elm street with us",
    "Acme Inc. sold it to Bolt Ltd. in May.": "acme incorporated sold it to bolt limited in may",
    "Cats vs. dogs.": "cats versus dogs",
    "R&D and Q&A.": "r and d and q and a",
    # dates and times
    "On 2023-11-05 at 6:45 pm.": "on the fifth of november twenty twenty three at six forty five p m",
    "Due 7/4/2025.": "due the fourth of july twenty twenty five",
    "Jan. 9, 1998 was a Friday.": "january ninth nineteen ninety eight was a friday",
    "We met at 9 a.m. Then we ate.": "we met at nine a m then we ate",
    "The train of 14:20 left at 14:05.": "the train of fourteen twenty left at fourteen oh five",
    # Roman numerals
    "Louis XIV read chapter IX.": "louis the fourteenth read chapter nine",
    "World War I and World War II.": "world war one and world war two",
    # addresses
    "Visit https://www.nasa.gov/moon now.": "visit nasa dot gov slash moon now",
    "Go to example.org.": "go to example dot org",
    "Write to ann_b@mail.example.com.": "write to ann underscore b at mail dot example dot com",
    "Call 555-0199 or 555-0147.": "call five five five zero one nine nine or five five five zero one four seven",
    "Ring (212) 555-0142.": "ring two one two five five five zero one four two",
    "See docs.python.org/3/library.": "see docs dot python dot org slash three slash library",
    # letters and digits
    "The MP3 and the 4K film.": "the m p three and the four k film",
    "Take bus A12 to gate B7.": "take bus a twelve to gate b seven",
    "Version 3.11.2 of it.": "version three point eleven point two of it",
    "A 4x4 with 16:9 screens.": "a four by four with sixteen to nine screens",
    "They won 3:1.": "they won three to one",
    "Track #9 by C# fans.": "track number nine by c sharp fans",
    # symbols and emoji
    "Salt & pepper, and/or sugar.": "salt and pepper and or sugar",
    "I love it 😀🎉!": "i love it",
    "Go → left ➡️ now.": "go to left now",
    "“Well…” she said — at last.": "well she said at last",
    "Ten * two ~ twenty?": "ten two about twenty",
    # scripts
    "Café Zoë is naïve.": "café zoë is naïve",
    "Hello, 世界.": None,
    "Привет means hello.": None,
    "مرحبا and नमस्ते.": None,
    LONG: LONG.lower().replace(",", "").replace(".", ""),
}
