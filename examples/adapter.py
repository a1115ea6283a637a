"""An adapter by which the conformance suite judges `leoflow serve`: the beginning of one.

It takes grpcio-tools, and the modules that are generated, from the root of the repository, by

    make third-party
    python3 -m grpc_tools.protoc -I proto -I third_party --python_out=. --grpc_python_out=. \
        proto/leoflow/*/v1/*.proto third_party/validate/validate.proto
"""

import json
import subprocess
import sys

import grpc
from google.protobuf.json_format import MessageToDict, ParseDict
from leoflow.control.v1 import control_pb2, control_pb2_grpc

addr, data_dir = sys.argv[1:]
plane = control_pb2_grpc.ControlServiceStub(grpc.insecure_channel(addr))


def control(tenant, method, message):
    """Call ControlService as an operator of the tenant."""
    command = ["leoflow", "token", "--data-dir", data_dir, "--tenant", tenant, "--role", "admin"]
    token = subprocess.check_output(command, text=True).strip()
    request = ParseDict(message, getattr(control_pb2, method + "Request")())
    return MessageToDict(getattr(plane, method)(request, metadata=[("authorization", "Bearer " + token)]))


class Fixtures:
    def GetCapabilities(self, request):
        return {"server": "leoflow"}

    def PrepareRun(self, request):
        tasks = [{"inputs": task["spec"].pop("xcomInputMapping", {}), **task["spec"]} for task in request["tasks"]]
        run = {"dagId": request["dagId"], "dagVersion": request["dagVersion"], "runId": request["runId"]}
        control(request["tenantId"], "CreateRun", {**run, "tasks": tasks})
        return {}

    def PrepareAttempt(self, request):
        if request["state"] != "TASK_STATE_QUEUED":
            raise NotImplementedError("attempts are queued")
        task = request["task"]
        names = {"dagId": task["dagId"], "runId": task["runId"], "taskId": task["taskId"]}
        got = control(task["tenantId"], "LaunchAttempt", {**names, "tryNumber": 1})
        attempt = {**task, "taskInstanceId": got["taskInstanceId"], "tryNumber": 1}
        return {"attempt": attempt, "token": got["agentToken"]}


for line in sys.stdin:
    request = json.loads(line)
    try:
        answer = {"response": getattr(Fixtures(), request["method"])(request["request"])}
    except (AttributeError, NotImplementedError) as e:
        answer = {"error": {"code": "UNIMPLEMENTED", "message": str(e)}}
    except Exception as e:
        answer = {"error": {"code": "INTERNAL", "message": repr(e)}}
    print(json.dumps({"id": request["id"], **answer}), flush=True)
