"""Jobs on Ray and the command line; the only package that knows both the models (`vclip`) and the store (`stores`).

A command's name is its folder's name. From top to bottom, each folder imports only from those below it:

cli/                          the commands
browsing/ quickstart/         the web page of a store; the whole way once, on a sample
ingest/                       videos, or datasets, into a store
association/                  train, evaluate, compare, benchmark-association
generation/                   fit-speakers, distill, generate, evaluate-generation
voices/                       voices that are kept and used again
search/ analysis/ inspection/ search; stats, map, clusters, outliers, card, export; inspect
listening/ maintenance/       listening tests; check, delete, migrate and other upkeep of a store
config                        the configuration of all jobs
extraction/                   one video -> clips of people who speak
cluster/ html/ files/         Ray session and task engine; pages and charts; files behind addresses
progress wording              progress and messages; numbers for people
"""

import vclip as vclip  # before torch: it says how torch's threads wait
