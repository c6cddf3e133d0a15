"""Three of Kafka's own requests, spoken directly: find a group's coordinator, commit offsets, fetch offsets.

Why not by the client library: librdkafka 2.16.0's admin client ends the *process* when it fetches offsets while a
group's coordinator moves (a null pointer in ``rd_kafka_handle_OffsetFetch``, which counts on a consumer); it cannot
read metadata of other clients unharmed, and writes a NUL behind ours. Everything else stays with the library.
"""
