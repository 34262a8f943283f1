"""A page to look at a store: faces to play, neighbours, a map, voices for a photo, and corrections by hand.

server.py    opens the store and the models, and serves
app.py       the page's files and its JSON, one file of routes a theme
guard.py     who may ask: this machine's browser, at this address, from this page
static/      the page: plain HTML, CSS and JavaScript, nothing from elsewhere
"""
