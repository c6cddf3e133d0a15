"""The bridge: workers that own partitions and deliver them to webhooks, for every subscription."""
