# Compiled without types: what runs once a batch is a third cheaper so.
