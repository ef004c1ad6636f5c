"""A gRPC client that is not ours: reflection, health and one real call on every service.

Usage: client.py SERVICE=HOST:PORT ...   (grpcio, grpcio-reflection, grpcio-health-checking)
"""

import sys

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

# One call per service that needs no state, and a field that its answer must have.
CALLS = {
    "sp.v1.Scheduler": ("Info", "cluster"),
    "sp.v1.Index": ("ListStores", "stores"),
    "sp.v1.DataPlane": ("UploadStatus", None),
}


def check(name, address):
    channel = grpc.insecure_channel(address)
    database = ProtoReflectionDescriptorDatabase(channel)
    services = list(database.get_services())
    pool = descriptor_pool.DescriptorPool(database)
    health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
    assert health.status == health_pb2.HealthCheckResponse.SERVING, f"{name}: health {health.status}"
    called = 0
    for service in services:
        descriptor = pool.FindServiceByName(service)
        for method in descriptor.methods:
            message_factory.GetMessageClass(method.input_type)
        if service not in CALLS:
            continue
        method_name, field = CALLS[service]
        method = descriptor.FindMethodByName(method_name)
        request = message_factory.GetMessageClass(method.input_type)()
        reply_class = message_factory.GetMessageClass(method.output_type)
        call = channel.unary_unary(
            f"/{service}/{method_name}",
            request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=reply_class.FromString,
        )
        try:
            reply = json_format.MessageToDict(
                call(request, timeout=10), preserving_proto_field_name=True, always_print_fields_with_no_presence=True
            )
            assert field in reply, f"{service}/{method_name}: no `{field}` in {reply}"
        except grpc.RpcError as error:
            # An unknown ticket is refused with our stable code: that is the right answer.
            codes = dict(error.trailing_metadata() or ())
            assert field is None and codes.get("sp-code", "").startswith("SP-"), f"{service}/{method_name}: {error}"
        called += 1
    assert called, f"{name}: none of our services in {services}"
    print(f"{name} at {address}: {', '.join(s for s in services if s.startswith('sp.'))}: ok")


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        check(*argument.split("=", 1))
