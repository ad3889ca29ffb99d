"""What a project may and can have: queues, nodes, room."""
