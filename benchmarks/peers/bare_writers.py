"""The limit: ParquetWriters of pyarrow on tables that lie ready: ``bare_writers.py RAW OUT --jobs N``.

Rows, columns, schema, writer options, row groups and files are those of our build; what is missing is all
the rest (reading, decoding, proof, statistics, hashing). Every process first makes the tables of its files,
then waits until all are ready; timed from there until the last process has written, closed and fsynced its
last file. Process start, imports and the making of tables are not timed. ``unsynced_seconds`` is the same
without fsync. Files go to processes longest first, to whichever has the least, which is as good as a queue.
"""

import argparse
import multiprocessing
import multiprocessing.connection
import os
import time
from pathlib import Path


def ready_tables(source, shard, schema):
    """The tables of one file, each with memory of its own."""
    from so2sat_hf.convert.plan import ROW_GROUP_ROWS
    from so2sat_hf.convert.table import to_table

    blocks = source.blocks(
        shard.split, range(shard.start, shard.stop), columns=tuple(schema.names), size=ROW_GROUP_ROWS
    )
    return [to_table(block, schema) for block in blocks]


def write_all(raw, out, shards, barrier, results):
    """In a process of its own: make tables, wait for the others, write."""
    from so2sat_hf.convert.encode import parquet_writer
    from so2sat_hf.convert.source import open_source
    from so2sat_hf.convert.table import schema

    source = open_source(raw)
    arrow_schema = schema(source.columns)
    tables = {shard: ready_tables(source, shard, arrow_schema) for shard in shards}
    folders = {shard: out / shard.path for shard in shards}
    for path in folders.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    barrier.wait()
    start, syncing = time.perf_counter(), 0.0
    for shard, path in folders.items():
        with path.open("wb") as stream:
            with parquet_writer(stream, arrow_schema) as writer:
                for table in tables[shard]:
                    writer.write_table(table)
            stream.flush()
            before = time.perf_counter()
            os.fsync(stream.fileno())
            syncing += time.perf_counter() - before
    seconds = time.perf_counter() - start
    results.put((seconds, seconds - syncing))


def shared_out(shards, jobs):
    """Deal files to processes, longest first, to the one with the fewest rows."""
    hands = [[] for _ in range(jobs)]
    for shard in sorted(shards, key=lambda shard: -shard.num_rows):
        min(hands, key=lambda hand: sum(one.num_rows for one in hand)).append(shard)
    return hands


def main():
    from report import report

    from so2sat_hf.convert.plan import plan_shards
    from so2sat_hf.convert.source import open_source

    parser = argparse.ArgumentParser()
    parser.add_argument("raw", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--rows-per-shard", type=int)
    arguments = parser.parse_args()
    source = open_source(arguments.raw)
    shards = plan_shards(source.cells, rows_per_shard=arguments.rows_per_shard)

    def job():
        context = multiprocessing.get_context("spawn")
        barrier, results = context.Barrier(arguments.jobs), context.Queue()
        workers = [
            context.Process(target=write_all, args=(arguments.raw, arguments.out, hand, barrier, results))
            for hand in shared_out(shards, arguments.jobs)
        ]
        for worker in workers:
            worker.start()
        multiprocessing.connection.wait([worker.sentinel for worker in workers])  # the first that ends
        if any(worker.exitcode for worker in workers):
            for worker in workers:
                worker.terminate()  # it would wait for the others for ever
            raise SystemExit("a writer failed")
        seconds, unsynced = zip(*(results.get() for _ in workers), strict=True)
        for worker in workers:
            worker.join()
        files = [arguments.out / shard.path for shard in shards]
        return {
            "seconds": max(seconds),
            "unsynced_seconds": max(unsynced),
            "rows": sum(shard.num_rows for shard in shards),
            "bytes": sum(path.stat().st_size for path in files),
            "files": len(files),
        }

    report(job, ("datasets", "h5py", "numpy", "pyarrow"))


if __name__ == "__main__":
    main()
