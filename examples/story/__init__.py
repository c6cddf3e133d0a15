"""What `examples/demo.py` is made of: the stage, the events, the receivers, the judge, the telling."""
