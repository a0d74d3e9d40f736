"""Exports of a job's tracks as a stream (archive, table, playlist), with constant memory per
file."""
