using System.Buffers.Binary;
using System.Text;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Npgsql;
using NpgsqlTypes;

namespace Marmot.Relay.Storage.Postgres;

/// <summary>One batch of the writer as SQL: runs of plain events go in one call, a deletion or a request to vanish in one of its own; all calls travel together
/// and commit together.</summary>
internal sealed class PostgresWriteBatch
{
    private const string RunParameters = "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10";
    private readonly List<Run> _runs = [];

    public PostgresWriteBatch(IReadOnlyList<EventWrite> batch)
    {
        foreach (var write in batch)
        {
            var kind = Classify(write.Record);
            if (_runs.Count == 0 || kind != RunKind.Plain || !_runs[^1].TakesMore(write.Record))
            {
                _runs.Add(new Run(kind));
            }

            _runs[^1].Add(write);
        }
    }

    private enum RunKind
    {
        Plain,
        Deletion,
        Vanish,
    }

    /// <summary>True when an event of it may have removed others.</summary>
    public bool Removes => _runs.Exists(run => run.Removes);

    /// <summary>One round trip, one transaction; sets every verdict and arrival.</summary>
    /// <param name="connection">An open one.</param>
    /// <param name="seen">The newest arrival number known here: none up to it is given again.</param>
    /// <param name="cancel">Gives it up.</param>
    /// <returns>The newest arrival number there is now, and the history it is of.</returns>
    public async Task<(ulong Newest, Guid History)> RunAsync(NpgsqlConnection connection, ulong seen, CancellationToken cancel)
    {
        await using var commands = new NpgsqlBatch(connection);
        var enter = new NpgsqlBatchCommand("SELECT relay.enter($1)");
        enter.Parameters.Add(new NpgsqlParameter<long> { TypedValue = (long)seen });
        commands.BatchCommands.Add(enter);
        foreach (var run in _runs)
        {
            commands.BatchCommands.Add(run.ToCommand());
        }

        var newest = 0UL;
        var history = Guid.Empty;
        var results = new List<(int[] Verdicts, long Before)>(_runs.Count);
        await using (var reader = await commands.ExecuteReaderAsync(cancel))
        {
            await reader.ReadAsync(cancel);
            history = reader.GetGuid(0);
            while (await reader.NextResultAsync(cancel))
            {
                await reader.ReadAsync(cancel);
                results.Add((reader.GetFieldValue<int[]>(0), reader.GetInt64(1)));
            }
        }

        // Only now: an error in a later call undoes the earlier ones.
        foreach (var (run, (verdicts, before)) in _runs.Zip(results))
        {
            newest = run.Conclude(verdicts, (ulong)before);
        }

        return (newest, history);
    }

    private static RunKind Classify(EventRecord record) =>
        record.VanishesHere ? RunKind.Vanish : record.Kind == EventKinds.Deletion ? RunKind.Deletion : RunKind.Plain;

    private sealed class Run(RunKind kind)
    {
        private readonly List<EventWrite> _writes = [];
        private readonly HashSet<Bytes32> _ids = [];
        private readonly HashSet<UInt128> _slots = [];

        public bool Removes => kind != RunKind.Plain || _slots.Count > 0;

        // The SQL judges a run as a whole, so nothing in it may depend on something else in it.
        public bool TakesMore(EventRecord record) =>
            kind == RunKind.Plain && !_ids.Contains(record.Id) && !(record.Address is { } address && _slots.Contains(address));

        public void Add(EventWrite write)
        {
            _writes.Add(write);
            _ids.Add(write.Record.Id);
            if (write.Record.Address is { } address)
            {
                _slots.Add(address);
            }
        }

        public NpgsqlBatchCommand ToCommand()
        {
            // 1. Columns.
            var count = _writes.Count;
            var (ids, authors, json) = (new byte[count][], new byte[count][], new byte[count][]);
            var (created, ranks, expires) = (new long[count], new long[count], new long?[count]);
            var (kinds, slots) = (new int[count], new byte[]?[count]);
            var (tagOf, tagKeys) = (new List<int>(count), new List<byte[]>(count));
            for (var i = 0; i < count; i++)
            {
                var record = _writes[i].Record;
                ids[i] = record.Id.Span.ToArray();
                authors[i] = record.PublicKey.Span.ToArray();
                created[i] = record.CreatedAt;
                ranks[i] = Rank(record.Id);
                kinds[i] = record.Kind;
                expires[i] = record.Expiration == long.MaxValue ? null : record.Expiration;
                slots[i] = record.Address is { } address ? ToBytes(address) : null;
                json[i] = StoredBytes.Pad(record.Json);
                if (record.Tags.Length > 0 && NostrEventReader.TryRead(record.Json, out var view, out _))
                {
                    foreach (var key in PostgresTagKey.ReadAll(view))
                    {
                        tagOf.Add(i + 1); // SQL counts from 1
                        tagKeys.Add(key);
                    }
                }
            }

            // 2. The call.
            var command = new NpgsqlBatchCommand();
            command.Parameters.Add(Bytes(ids));
            command.Parameters.Add(Bytes(authors));
            command.Parameters.Add(new NpgsqlParameter<long[]> { TypedValue = created });
            command.Parameters.Add(new NpgsqlParameter<long[]> { TypedValue = ranks });
            command.Parameters.Add(new NpgsqlParameter<int[]> { TypedValue = kinds });
            command.Parameters.Add(new NpgsqlParameter<long?[]> { TypedValue = expires });
            command.Parameters.Add(Bytes(slots));
            command.Parameters.Add(Bytes(json));
            command.Parameters.Add(new NpgsqlParameter<int[]> { TypedValue = [.. tagOf] });
            command.Parameters.Add(Bytes([.. tagKeys]));
            switch (kind)
            {
                case RunKind.Deletion:
                    var (targets, targetSlots) = ReadTargets(_writes[0].Record);
                    command.Parameters.Add(Bytes(targets));
                    command.Parameters.Add(Bytes(targetSlots));
                    command.CommandText = $"SELECT verdicts, before FROM relay.put_deletion({RunParameters}, $11, $12)";
                    break;
                case RunKind.Vanish:
                    command.CommandText = $"SELECT verdicts, before FROM relay.put_vanish({RunParameters})";
                    break;
                default:
                    command.CommandText = $"SELECT verdicts, before FROM relay.put({RunParameters})";
                    break;
            }

            return command;
        }

        public ulong Conclude(int[] verdicts, ulong newest)
        {
            for (var i = 0; i < _writes.Count; i++)
            {
                _writes[i].Verdict = (StoreVerdict)verdicts[i];
                _writes[i].Arrival = _writes[i].Verdict == StoreVerdict.Stored ? ++newest : 0;
            }

            return newest;
        }

        private static NpgsqlParameter<byte[]?[]> Bytes(byte[]?[] values) =>
            new NpgsqlParameter<byte[]?[]> { TypedValue = values, NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Bytea };
    }

    /// <summary>The first 8 bytes of an id as a signed number in the same order.</summary>
    public static long Rank(in Bytes32 id) => BinaryPrimitives.ReadInt64BigEndian(id.Span) ^ long.MinValue;

    private static byte[] ToBytes(UInt128 address)
    {
        var bytes = new byte[16];
        BinaryPrimitives.WriteUInt128BigEndian(bytes, address);
        return bytes;
    }

    // NIP-09: the events named by e tags, and the author's own slots named by a tags.
    private static (byte[][] Ids, byte[][] Slots) ReadTargets(EventRecord deletion)
    {
        var (ids, slots) = (new List<byte[]>(), new List<byte[]>());
        NostrEventReader.TryRead(deletion.Json, out var view, out _);
        foreach (var tag in view.Tags)
        {
            if (tag.Name.SequenceEqual("e"u8) && Bytes32.TryParseHex(tag.Value, out var id))
            {
                ids.Add(id.Span.ToArray());
            }
            else if (tag.Name.SequenceEqual("a"u8) && EventRecord.TryReadAddress(tag.Value, deletion.PublicKey, out var address))
            {
                slots.Add(ToBytes(address));
            }
        }

        return ([.. ids], [.. slots]);
    }
}
