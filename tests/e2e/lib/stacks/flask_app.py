"""Flask with routes, and with the usual middleware for an app below a prefix. Run with the port as the argument."""

import sys

from flask import Flask

app = Flask(__name__)
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


@app.route("/weather", methods=METHODS)
@app.route("/market", methods=METHODS)
@app.route("/premium", methods=METHODS)
@app.route("/premium/", methods=METHODS)
@app.route("/premium/<path:rest>", methods=METHODS)
@app.get("/read")
def premium(rest=""):
    return "PREMIUM-GOODS"


@app.route("/free", methods=METHODS)
@app.route("/cheap", methods=METHODS)
@app.route("/public", methods=METHODS)
@app.route("/public/<path:rest>", methods=METHODS)
@app.post("/read")
def free(rest=""):
    return "FREE-GOODS"


class Prefixed:
    """Takes the prefix that a proxy in front tells off the path: of this header, and as gunicorn does it."""

    def __init__(self, inner):
        self.inner = inner

    def __call__(self, environ, start_response):
        prefix = environ.get("HTTP_X_SCRIPT_NAME") or environ.get("HTTP_SCRIPT_NAME") or ""
        if prefix and environ["PATH_INFO"].startswith(prefix):
            environ["SCRIPT_NAME"] = prefix
            environ["PATH_INFO"] = environ["PATH_INFO"][len(prefix) :]
        return self.inner(environ, start_response)


app.wsgi_app = Prefixed(app.wsgi_app)
app.run(host="127.0.0.1", port=int(sys.argv[1]), threaded=True)
