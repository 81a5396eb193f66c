# What stands between Lambda's Runtime API and a Python handler, and no more: imports the handler, then serves.
import http.client
import importlib
import json
import os
import sys

api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
module, name = sys.argv[1].rsplit(".", 1)
handler = getattr(importlib.import_module(module), name)


class Context:
    function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]

    def __init__(self, headers):
        self.aws_request_id = headers["Lambda-Runtime-Aws-Request-Id"]


while True:
    api.request("GET", "/2018-06-01/runtime/invocation/next")
    invocation = api.getresponse()
    event, context = json.loads(invocation.read()), Context(invocation.headers)
    body = json.dumps(handler(event, context))
    api.request("POST", f"/2018-06-01/runtime/invocation/{context.aws_request_id}/response", body)
    api.getresponse().read()
