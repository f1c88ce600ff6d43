"""HTTP building blocks shared by all slices: problems, cursors, body limits, observability and metrics."""
