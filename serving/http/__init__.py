"""HTTP without a subject: problems, cursors, body limits, observability and metrics."""
