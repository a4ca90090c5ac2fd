using System.Buffers.Binary;
using System.Text;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Relay.Storage.Log;
using Marmot.Relay.Storage.Native;

namespace Marmot.Relay.Storage.Index;

/// <summary>The LMDB indexes over the event log, and the rules of what stays stored (NIP-01 replacement, NIP-09, NIP-62).</summary>
/// <remarks>
/// Not durable by itself (MDB_NOSYNC): after a crash of the process it is intact and catches up from the log, after a crash of the
/// machine it is rebuilt from the log.
/// </remarks>
internal sealed class EventIndex : IDisposable
{
    private const long MapBytes = 256L << 30; // address space; the file grows only with its content
    private const int BacklogPages = IndexBacklog.MaxEntries * 3; // of each entry at worst a leaf, the leaf it is split into, and their branch
    private static readonly byte[] EndName = "end"u8.ToArray();
    private static readonly byte[] ArrivalName = "arrival"u8.ToArray();
    private static readonly byte[] RunName = "run"u8.ToArray();

    private readonly LmdbEnvironment _environment;
    private readonly EventLog _log;
    private readonly uint _events, _ids, _times, _kinds, _authors, _tags, _slots, _expiry, _erase, _meta;
    private readonly Tombstones _tombstones;

    public EventIndex(string directory, EventLog log)
    {
        _log = log;
        _environment = new LmdbEnvironment(directory, MapBytes, Lmdb.NoSync);
        using var txn = _environment.BeginWrite();
        _events = _environment.OpenDatabase(txn, "event", Lmdb.IntegerKey);
        _ids = _environment.OpenDatabase(txn, "id");
        _times = _environment.OpenDatabase(txn, "time");
        _kinds = _environment.OpenDatabase(txn, "kind");
        _authors = _environment.OpenDatabase(txn, "author");
        _tags = _environment.OpenDatabase(txn, "tag");
        _slots = _environment.OpenDatabase(txn, "slot");
        _expiry = _environment.OpenDatabase(txn, "expiry");
        _tombstones = new Tombstones(_environment.OpenDatabase(txn, "deleted"));
        _erase = _environment.OpenDatabase(txn, "erase");
        _meta = _environment.OpenDatabase(txn, "meta");
        txn.Commit();
    }

    public uint Events => _events;

    public uint Times => _times;

    public uint Kinds => _kinds;

    public uint Authors => _authors;

    public uint Tags => _tags;

    public LmdbTransaction BeginRead() => _environment.BeginRead();

    public LmdbTransaction BeginWrite() => _environment.BeginWrite();

    public void Sync() => _environment.Sync();

    /// <summary>Sees to it that a full <see cref="IndexBacklog"/> can be entered though the disk gets full meanwhile.</summary>
    /// <returns>False when the disk has no such room, or cannot say.</returns>
    public bool TryReserveBacklog() => _environment.TryReserve(BacklogPages);

    /// <summary>How far in the log this index reaches: position behind the last record, and its arrival number.</summary>
    public (long End, ulong Arrival) ReadProgress(in LmdbTransaction txn) => (
        txn.TryGet(_meta, EndName, out var end) ? BinaryPrimitives.ReadInt64BigEndian(end) : 0,
        txn.TryGet(_meta, ArrivalName, out var arrival) ? BinaryPrimitives.ReadUInt64BigEndian(arrival) : 0);

    public void WriteProgress(in LmdbTransaction txn, long end, ulong arrival)
    {
        Span<byte> value = stackalloc byte[8];
        BinaryPrimitives.WriteInt64BigEndian(value, end);
        txn.Put(_meta, EndName, value);
        BinaryPrimitives.WriteUInt64BigEndian(value, arrival);
        txn.Put(_meta, ArrivalName, value);
    }

    /// <summary>The run of <see cref="IndexMark"/> that this index is of; empty in a new one.</summary>
    public string ReadRun(in LmdbTransaction txn) => txn.TryGet(_meta, RunName, out var run) ? Encoding.ASCII.GetString(run) : "";

    public void WriteRun(in LmdbTransaction txn, string run) => txn.Put(_meta, RunName, Encoding.ASCII.GetBytes(run));

    /// <summary>The event with the highest arrival number; false when there is none.</summary>
    public bool TryReadNewest(in LmdbTransaction txn, out StoredHeader header)
    {
        var cursor = txn.OpenCursor(_events);
        var found = cursor.Last();
        header = found ? StoredHeader.Read(cursor.Value) : default;
        cursor.Dispose();
        return found;
    }

    /// <summary>Arrival numbers of the events of a kind, at most so many.</summary>
    public List<ulong> ReadKind(in LmdbTransaction txn, int kind, int limit)
    {
        List<ulong> found = [];
        Span<byte> prefix = stackalloc byte[2];
        IndexKeys.WriteKind(prefix, kind);
        var cursor = txn.OpenCursor(_kinds);
        for (var more = cursor.Seek(prefix); more && found.Count < limit && cursor.Key.StartsWith(prefix); more = cursor.Next())
        {
            found.Add(BinaryPrimitives.ReadUInt64BigEndian(cursor.Value));
        }

        cursor.Dispose();
        return found;
    }

    public bool TryFind(in LmdbTransaction txn, in Bytes32 id, out ulong arrival, out StoredHeader header)
    {
        arrival = 0;
        header = default;
        if (!txn.TryGet(_ids, id.Span[..IndexKeys.ShortSize], out var value))
        {
            return false;
        }

        arrival = BinaryPrimitives.ReadUInt64BigEndian(value);
        return TryReadHeader(txn, arrival, out header) && header.Id == id;
    }

    public bool TryReadHeader(in LmdbTransaction txn, ulong arrival, out StoredHeader header)
    {
        if (txn.TryGet(_events, arrival, out var value))
        {
            header = StoredHeader.Read(value);
            return true;
        }

        header = default;
        return false;
    }

    /// <summary>Whether the event may be stored now. Removes what it replaces only in <see cref="Insert"/>.</summary>
    public StoreVerdict Judge(in LmdbTransaction txn, EventRecord record)
    {
        if (txn.TryGet(_ids, record.Id.Span[..IndexKeys.ShortSize], out _))
        {
            return StoreVerdict.Duplicate;
        }

        if (_tombstones.IsDeleted(txn, record))
        {
            return StoreVerdict.Deleted;
        }

        if (_tombstones.IsVanished(txn, record))
        {
            return StoreVerdict.Vanished;
        }

        if (record.Address is { } address && TryReadSlot(txn, address, out _, out var current)
            && !Replaces(record, current))
        {
            return StoreVerdict.Superseded;
        }

        return StoreVerdict.Stored;
    }

    /// <summary>Enters an event that <see cref="Judge"/> let pass and carries out what it asks for.</summary>
    /// <param name="txn">A write.</param>
    /// <param name="record">The event.</param>
    /// <param name="arrival">Its arrival number.</param>
    /// <param name="position">Where it stands in the log.</param>
    /// <param name="removedUpTo"><see cref="EventWrite.RemovedUpTo"/>.</param>
    /// <returns>True when other events may have been taken out for it.</returns>
    public bool Insert(in LmdbTransaction txn, EventRecord record, ulong arrival, long position, ulong removedUpTo = 0)
    {
        var displaces = false;

        // 1. Make room: the older event of the same slot goes (NIP-01).
        if (record.Address is { } address)
        {
            if (TryReadSlot(txn, address, out var replaced, out _))
            {
                displaces = Remove(txn, replaced);
            }

            Span<byte> slot = stackalloc byte[IndexKeys.ShortSize];
            BinaryPrimitives.WriteUInt128BigEndian(slot, address);
            PutArrival(txn, _slots, slot, arrival);
        }

        // 2. The event itself and its lists.
        Span<byte> header = stackalloc byte[StoredHeader.Size];
        new StoredHeader(record.Id, record.PublicKey, record.CreatedAt, record.Expiration, position, record.Json.Length, record.Kind).Write(header);
        txn.Put(_events, arrival, header, Lmdb.Append);
        PutArrival(txn, _ids, record.Id.Span[..IndexKeys.ShortSize], arrival);
        Lists(txn, record.Id, record.PublicKey, record.CreatedAt, record.Kind, record.Expiration, record.Tags, arrival, add: true);

        // 3. What it asks for.
        if (record.Kind == EventKinds.Deletion)
        {
            ApplyDeletion(txn, record);
            return true;
        }

        if (record.VanishesHere)
        {
            ApplyVanish(txn, record, removedUpTo);
            return true;
        }

        return displaces;
    }

    /// <summary>Takes an event out of every list and puts its bytes on the list of what is to be overwritten.</summary>
    public bool Remove(in LmdbTransaction txn, ulong arrival)
    {
        if (!TryReadHeader(txn, arrival, out var header))
        {
            return false;
        }

        TagKey[] tags = [];
        if (NostrEventReader.TryRead(_log.PeekAsWriter(header.Position, header.Length), out var view, out _))
        {
            tags = EventRecord.ReadTags(view);
            if (EventRecord.TryGetAddress(view, out var address))
            {
                Span<byte> slot = stackalloc byte[IndexKeys.ShortSize];
                BinaryPrimitives.WriteUInt128BigEndian(slot, address);
                if (txn.TryGet(_slots, slot, out var holder) && BinaryPrimitives.ReadUInt64BigEndian(holder) == arrival)
                {
                    txn.Delete(_slots, slot);
                }
            }
        }

        Lists(txn, header.Id, header.PublicKey, header.CreatedAt, header.Kind, header.Expiration, tags, arrival, add: false);
        txn.Delete(_ids, header.Id.Span[..IndexKeys.ShortSize]);
        txn.Delete(_events, arrival);

        QueueErasure(txn, arrival, header.Position, header.Length);
        return true;
    }

    /// <summary>Notes bytes of the log that are to be overwritten.</summary>
    public void QueueErasure(in LmdbTransaction txn, ulong arrival, long position, int length)
    {
        Span<byte> key = stackalloc byte[8], value = stackalloc byte[12];
        BinaryPrimitives.WriteUInt64BigEndian(key, arrival);
        BinaryPrimitives.WriteInt64BigEndian(value, position);
        BinaryPrimitives.WriteInt32BigEndian(value[8..], length);
        txn.Put(_erase, key, value);
    }

    /// <summary>Removes events whose time has come (NIP-40).</summary>
    public int RemoveExpired(in LmdbTransaction txn, long now, int limit)
    {
        List<ulong> due = [];
        var cursor = txn.OpenCursor(_expiry);
        try
        {
            for (var more = cursor.First(); more && due.Count < limit && IndexKeys.ReadExpiry(cursor.Key) <= now; more = cursor.Next())
            {
                due.Add(BinaryPrimitives.ReadUInt64BigEndian(cursor.Key[5..]));
            }
        }
        finally
        {
            cursor.Dispose();
        }

        foreach (var arrival in due)
        {
            Remove(txn, arrival);
        }

        return due.Count;
    }

    /// <summary>The next bytes to overwrite.</summary>
    public List<(ulong Arrival, long Position, int Length)> ReadErasures(in LmdbTransaction txn, int limit)
    {
        List<(ulong, long, int)> due = [];
        var cursor = txn.OpenCursor(_erase);
        for (var more = cursor.First(); more && due.Count < limit; more = cursor.Next())
        {
            due.Add((
                BinaryPrimitives.ReadUInt64BigEndian(cursor.Key),
                BinaryPrimitives.ReadInt64BigEndian(cursor.Value),
                BinaryPrimitives.ReadInt32BigEndian(cursor.Value[8..])));
        }

        cursor.Dispose();
        return due;
    }

    public void ForgetErasure(in LmdbTransaction txn, ulong arrival)
    {
        Span<byte> key = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64BigEndian(key, arrival);
        txn.Delete(_erase, key);
    }

    public (long Events, long Erasures) Count(in LmdbTransaction txn) => (txn.Count(_events), txn.Count(_erase));

    public void Dispose() => _environment.Dispose();

    private static bool Replaces(EventRecord newer, in StoredHeader current) =>
        newer.CreatedAt > current.CreatedAt || (newer.CreatedAt == current.CreatedAt && newer.Id < current.Id);

    private bool TryReadSlot(in LmdbTransaction txn, UInt128 address, out ulong arrival, out StoredHeader header)
    {
        Span<byte> slot = stackalloc byte[IndexKeys.ShortSize];
        BinaryPrimitives.WriteUInt128BigEndian(slot, address);
        arrival = 0;
        header = default;
        if (!txn.TryGet(_slots, slot, out var value))
        {
            return false;
        }

        arrival = BinaryPrimitives.ReadUInt64BigEndian(value);
        return TryReadHeader(txn, arrival, out header);
    }

    private void Lists(
        in LmdbTransaction txn, in Bytes32 id, in Bytes32 author, long createdAt, int kind, long expiration, TagKey[] tags, ulong arrival, bool add)
    {
        Span<byte> key = stackalloc byte[IndexKeys.AuthorKeySize];
        Span<byte> order = stackalloc byte[IndexKeys.OrderSize];
        Span<byte> value = stackalloc byte[IndexKeys.TagValueSize];
        BinaryPrimitives.WriteUInt64BigEndian(value, arrival);
        IndexKeys.WriteKind(value[8..], kind);
        IndexKeys.WriteOrder(order, createdAt, id);

        Change(txn, _times, order, value[..8], add);

        IndexKeys.WriteKind(key, kind);
        order.CopyTo(key[2..]);
        Change(txn, _kinds, key[..IndexKeys.KindKeySize], value[..8], add);

        author.Span[..IndexKeys.ShortSize].CopyTo(key);
        IndexKeys.WriteKind(key[IndexKeys.ShortSize..], kind);
        order.CopyTo(key[(IndexKeys.ShortSize + 2)..]);
        Change(txn, _authors, key, value[..8], add);

        foreach (var tag in tags)
        {
            tag.Write(key);
            order.CopyTo(key[TagKey.Size..]);
            tag.WriteRest(value[IndexKeys.TagRestOffset..]);
            Change(txn, _tags, key[..IndexKeys.TagKeySize], value, add);
        }

        if (expiration != long.MaxValue)
        {
            IndexKeys.WriteExpiry(key, expiration, arrival);
            Change(txn, _expiry, key[..13], default, add);
        }
    }

    private static void Change(in LmdbTransaction txn, uint database, scoped ReadOnlySpan<byte> key, scoped ReadOnlySpan<byte> value, bool add)
    {
        if (add)
        {
            txn.Put(database, key, value);
        }
        else
        {
            txn.Delete(database, key);
        }
    }

    private static void PutArrival(in LmdbTransaction txn, uint database, scoped ReadOnlySpan<byte> key, ulong arrival)
    {
        Span<byte> value = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64BigEndian(value, arrival);
        txn.Put(database, key, value);
    }

    private void ApplyDeletion(in LmdbTransaction txn, EventRecord deletion)
    {
        NostrEventReader.TryRead(deletion.Json, out var view, out _);
        foreach (var tag in view.Tags)
        {
            if (tag.Name.SequenceEqual("e"u8) && Bytes32.TryParseHex(tag.Value, out var id))
            {
                _tombstones.AddEvent(txn, id, deletion.PublicKey, deletion.CreatedAt);
                if (TryFind(txn, id, out var arrival, out var header) && MayDelete(deletion.PublicKey, header))
                {
                    Remove(txn, arrival);
                }
            }
            else if (tag.Name.SequenceEqual("a"u8) && EventRecord.TryReadAddress(tag.Value, deletion.PublicKey, out var address))
            {
                _tombstones.AddSlot(txn, address, deletion.CreatedAt);
                if (TryReadSlot(txn, address, out var arrival, out var header) && header.CreatedAt <= deletion.CreatedAt)
                {
                    Remove(txn, arrival);
                }
            }
        }
    }

    private bool MayDelete(in Bytes32 by, in StoredHeader target)
    {
        if (target.Kind is EventKinds.Deletion or EventKinds.Vanish)
        {
            return false;
        }

        if (target.PublicKey == by)
        {
            return true;
        }

        return target.Kind == EventKinds.GiftWrap
            && NostrEventReader.TryRead(_log.PeekAsWriter(target.Position, target.Length), out var view, out _)
            && GiftWrapAccess.IsFor(view, by);
    }

    // NIP-62: everything of the key up to the request, its deletions included, and the wraps addressed to it. The request itself stays.
    private void ApplyVanish(in LmdbTransaction txn, EventRecord vanish, ulong removedUpTo)
    {
        _tombstones.AddVanished(txn, vanish.PublicKey, vanish.CreatedAt);
        List<ulong> due = [];
        if (removedUpTo > 0)
        {
            CollectAfter(txn, removedUpTo, due); // what came meanwhile: a few, whoever wrote them
        }
        else
        {
            Span<byte> key = stackalloc byte[IndexKeys.AuthorKeySize];
            vanish.PublicKey.Span[..IndexKeys.ShortSize].CopyTo(key);
            Collect(txn, _authors, key[..IndexKeys.ShortSize], IndexKeys.ShortSize + 2, due, vanish.CreatedAt);
            TagKey.FromKey('p', vanish.PublicKey).Write(key);
            Collect(txn, _tags, key[..TagKey.Size], TagKey.Size, due, vanish.CreatedAt);
        }

        foreach (var arrival in due)
        {
            if (TryReadHeader(txn, arrival, out var header) && header.CreatedAt <= vanish.CreatedAt
                && (header.PublicKey == vanish.PublicKey ? header.Kind != EventKinds.Vanish : MayDelete(vanish.PublicKey, header)))
            {
                Remove(txn, arrival);
            }
        }
    }

    private void CollectAfter(in LmdbTransaction txn, ulong arrival, List<ulong> into)
    {
        Span<byte> start = stackalloc byte[sizeof(ulong)];
        BitConverter.TryWriteBytes(start, arrival + 1);
        var cursor = txn.OpenCursor(_events);
        for (var more = cursor.Seek(start); more; more = cursor.Next())
        {
            into.Add(BitConverter.ToUInt64(cursor.Key));
        }

        cursor.Dispose();
    }

    private static void Collect(in LmdbTransaction txn, uint database, scoped ReadOnlySpan<byte> prefix, int orderOffset, List<ulong> into, long until)
    {
        var cursor = txn.OpenCursor(database);
        for (var more = cursor.Seek(prefix); more && cursor.Key.StartsWith(prefix); more = cursor.Next())
        {
            if (IndexKeys.ReadTime(cursor.Key[orderOffset..]) <= until)
            {
                into.Add(BinaryPrimitives.ReadUInt64BigEndian(cursor.Value));
            }
        }

        cursor.Dispose();
    }
}
