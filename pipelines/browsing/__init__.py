"""A web page of a store: faces to play, neighbours, a map, voices for a photo, and corrections by hand.

job.py              `vclip browse`: opens the store and the models, and serves the page
session.py          the store and the models that one page shows
routes.py           the JSON API that reads, with cards.py (clips and filters) and map.py
edit_routes.py      corrections, of one clip or of a selection
bodies.py           the bodies of requests
generate_routes.py  speech in a new voice
media.py            images and audio
guard.py            only the page itself may use the API
static/             the page: plain HTML, CSS and JavaScript, which load nothing from elsewhere
"""
