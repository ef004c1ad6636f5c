#!/bin/sh
# Asks a service for its gRPC health and ends with 0 when it serves. Its data directory says where it listens.
set -eu
# 2 would mean something else to Docker.
address=$(sed -n 's/.*"listen":"\([^"]*\)".*/\1/p' "${1:?name the data directory}/listen.json") || exit 1
# The question names no service, so it is empty: no flag, and four bytes that say a length of 0.
answer=$(printf '\0\0\0\0\0' | curl --silent --max-time 3 --http2-prior-knowledge \
    --header 'content-type: application/grpc' --header 'te: trailers' --data-binary @- \
    "http://$address/grpc.health.v1.Health/Check" | od -An -v -tx1 | tr -d ' \n')
# Two bytes: field 1 of the answer is 1, which is SERVING.
test "$answer" = 00000000020801
