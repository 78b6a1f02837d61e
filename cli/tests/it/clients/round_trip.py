"""Confluent's Python serializers write readings to a topic, or its deserializers read them back.

    round_trip.py write FORMAT BOOTSTRAP REGISTRY TOPIC < readings.json
    round_trip.py read FORMAT BOOTSTRAP REGISTRY TOPIC COUNT > readings.json

FORMAT is avro, json or protobuf. Readings are a JSON array of objects; prices are decimals as text, times are UTC as text. The schemas
that are written are those of a program that knows nothing of Weir; what is read has the schema of its id, whatever that is.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import uuid
from datetime import datetime, timedelta, timezone
from decimal import Decimal

from confluent_kafka import Consumer, KafkaError, Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.confluent import meta_pb2
from confluent_kafka.schema_registry.confluent.type import decimal_pb2
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    timestamp_pb2,
    wrappers_pb2,
)
from google.type import date_pb2, timeofday_pb2

HERE = pathlib.Path(__file__).parent
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
TIME_FORMAT = "%Y-%m-%d %H:%M:%S.%f"

# Two decimals, as the column of the tables.
SCALE = 2

AVRO = {
    "type": "record",
    "name": "Reading",
    "namespace": "org.example",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "label", "type": ["null", "string"], "default": None},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": SCALE}},
        {"name": "taken", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "colour", "type": {"type": "enum", "name": "Colour", "symbols": ["RED", "GREEN"]}},
        {
            "name": "place",
            "type": [
                "null",
                {
                    "type": "record",
                    "name": "Place",
                    "fields": [{"name": "city", "type": ["null", "string"]}, {"name": "zip", "type": "int"}],
                },
            ],
            "default": None,
        },
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "counts", "type": {"type": "map", "values": "int"}},
    ],
}

JSON_SCHEMA = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "title": "Reading",
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "label": {"oneOf": [{"type": "null"}, {"type": "string"}]},
        "price": {"type": "number"},
        "taken": {"type": "integer"},
        "colour": {"type": "string", "enum": ["RED", "GREEN"]},
        "place": {
            "oneOf": [
                {"type": "null"},
                {
                    "type": "object",
                    "properties": {"city": {"oneOf": [{"type": "null"}, {"type": "string"}]}, "zip": {"type": "integer"}},
                    "required": ["zip"],
                },
            ]
        },
        "tags": {"type": "array", "items": {"type": "string"}},
        "counts": {"type": "object", "additionalProperties": {"type": "integer"}},
    },
    "required": ["id", "price", "taken", "colour", "tags", "counts"],
}


def taken_of(reading):
    """The time of a reading."""
    return datetime.strptime(reading["taken"], TIME_FORMAT).replace(tzinfo=timezone.utc)


def taken_text(time):
    """A time as readings have it."""
    # strftime leaves out zeros of years before 1000 and cuts nothing; readings have milliseconds.
    return time.strftime(TIME_FORMAT)[:-3]


def millis_of(time):
    """Epoch milliseconds."""
    return (time - EPOCH) // timedelta(milliseconds=1)


def to_avro(reading, _context=None):
    """A reading as the Avro serializer takes it."""
    return dict(reading, price=Decimal(reading["price"]), taken=taken_of(reading))


def from_avro(record):
    """A reading of what the Avro deserializer gives."""
    # Columns of TIMESTAMP are local-timestamp-millis, which come without a zone.
    return dict(record, price=str(record["price"]), taken=taken_text(record["taken"]))


def to_json(reading, _context=None):
    """A reading as the JSON serializer takes it: prices have few enough digits for a double."""
    return dict(reading, price=float(reading["price"]), taken=millis_of(taken_of(reading)))


def from_json(record):
    """A reading of what the JSON deserializer gives."""
    price = Decimal(repr(record["price"])).quantize(Decimal(1).scaleb(-SCALE))
    return dict(record, price=str(price), taken=taken_text(EPOCH + timedelta(milliseconds=record["taken"])))


def compiled(text):
    """The first message class of a Protobuf file."""
    known = [
        descriptor_pb2.DESCRIPTOR,
        timestamp_pb2.DESCRIPTOR,
        wrappers_pb2.DESCRIPTOR,
        date_pb2.DESCRIPTOR,
        timeofday_pb2.DESCRIPTOR,
        meta_pb2.DESCRIPTOR,
        decimal_pb2.DESCRIPTOR,
    ]
    files = descriptor_pb2.FileDescriptorSet()
    for descriptor in known:
        descriptor.CopyToProto(files.file.add())
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "known.pb").write_bytes(files.SerializeToString())
        (folder / "schema.proto").write_text(text, encoding="utf-8")
        subprocess.run(
            [sys.executable, "-m", "grpc_tools.protoc", "--proto_path=.", "--descriptor_set_in=known.pb"]
            + ["--descriptor_set_out=out.pb", "schema.proto"],
            cwd=folder,
            check=True,
        )
        compiled_files = descriptor_pb2.FileDescriptorSet.FromString((folder / "out.pb").read_bytes())
    pool = descriptor_pool.Default()
    own = [file for file in compiled_files.file if file.name == "schema.proto"]
    pool.Add(own[0])
    descriptor = next(iter(pool.FindFileByName("schema.proto").message_types_by_name.values()))
    return message_factory.GetMessageClass(descriptor)


def to_protobuf(cls):
    """What makes a message of a reading."""

    def convert(reading):
        message = cls(id=reading["id"], label=reading["label"], tags=reading["tags"], counts=reading["counts"])
        unscaled = int(Decimal(reading["price"]).scaleb(SCALE))
        message.price.value = unscaled.to_bytes(8, "big", signed=True)
        message.price.scale = SCALE
        message.taken.FromMilliseconds(millis_of(taken_of(reading)))
        message.colour = cls.DESCRIPTOR.fields_by_name["colour"].enum_type.values_by_name[reading["colour"]].number
        if reading["place"] is not None:
            message.place.zip = reading["place"]["zip"]
            if reading["place"]["city"] is not None:
                message.place.city = reading["place"]["city"]
        return message

    return convert


def from_protobuf(message):
    """A reading of what the Protobuf deserializer gives."""

    def present(owner, name):
        return getattr(owner, name) if owner.HasField(name) else None

    unscaled = int.from_bytes(message.price.value, "big", signed=True)
    place = present(message, "place")
    return {
        "id": message.id,
        "label": present(message, "label"),
        "price": str(Decimal(unscaled).scaleb(-SCALE).quantize(Decimal(1).scaleb(-SCALE))),
        "taken": taken_text(EPOCH + timedelta(milliseconds=message.taken.ToMilliseconds())),
        "colour": message.colour,
        "place": place if place is None else {"city": present(place, "city"), "zip": place.zip},
        "tags": list(message.tags),
        # Confluent's mapping has no map fields: a map is a list of entries.
        "counts": {entry.key: entry.value for entry in message.counts},
    }


def serializer(form, registry):
    """The serializer of a format, and what it takes of a reading."""
    if form == "avro":
        return AvroSerializer(registry, json.dumps(AVRO)), to_avro
    if form == "json":
        return JSONSerializer(json.dumps(JSON_SCHEMA), registry), to_json
    cls = compiled((HERE / "readings.proto").read_text(encoding="utf-8"))
    return ProtobufSerializer(cls, registry, {"use.deprecated.format": False}), to_protobuf(cls)


def deserializer(form, registry, topic):
    """The deserializer of a format, and what makes a reading of its result."""
    if form == "avro":
        return AvroDeserializer(registry), from_avro
    if form == "json":
        return JSONDeserializer(None, schema_registry_client=registry), from_json
    cls = compiled(registry.get_latest_version(f"{topic}-value").schema.schema_str)
    return ProtobufDeserializer(cls, {"use.deprecated.format": False}, registry), from_protobuf


def write(form, bootstrap, registry, topic):
    """Writes the readings of standard input."""
    serialize, convert = serializer(form, registry)
    producer = Producer({"bootstrap.servers": bootstrap, "message.timeout.ms": 20000})
    failures = []

    def delivered(error, _message):
        if error is not None:
            failures.append(str(error))

    context = SerializationContext(topic, MessageField.VALUE)
    for reading in json.load(sys.stdin):
        producer.produce(topic, value=serialize(convert(reading), context), on_delivery=delivered)
    if producer.flush(30) > 0:
        sys.exit("not everything was written within 30 s")
    if failures:
        sys.exit(failures[0])


def read(form, bootstrap, registry, topic, count):
    """Prints so many readings, those of committed transactions."""
    deserialize, convert = deserializer(form, registry, topic)
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": str(uuid.uuid4()),
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
        }
    )
    consumer.subscribe([topic])
    context = SerializationContext(topic, MessageField.VALUE)
    readings = []
    for _ in range(60):
        if len(readings) >= count:
            break
        message = consumer.poll(1)
        if message is None:
            continue
        if message.error() is not None:
            if message.error().code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                continue
            sys.exit(str(message.error()))
        readings.append(convert(deserialize(message.value(), context)))
    consumer.close()
    json.dump(readings, sys.stdout)


def main():
    """The command line."""
    command, form, bootstrap, registry, topic, *rest = sys.argv[1:]
    client = SchemaRegistryClient({"url": registry})
    if command == "write":
        write(form, bootstrap, client, topic)
    else:
        read(form, bootstrap, client, topic, int(rest[0]))


main()
