using System.Globalization;
using Marmot.Client.Storage;
using Marmot.Protocol.Encoding;

namespace Marmot.Client.Groups;

/// <summary>
/// Ids of events, sealed messages and inner events that have had their effect. The newest <see cref="MaxIds"/> are known: relays are asked again for an hour at
/// most, and what comes still later finds its keys used up. One caller at a time, as its session.
/// </summary>
internal sealed class SeenIds
{
    /// <summary>Three for each message: some 16,000 messages, 4 MiB of memory.</summary>
    internal const int MaxIds = 48 * 1024;

    private const int ChunkIds = 4096;

    // So many small chunks in a row become one: a step writes its own ids and no more.
    private const int MergedChunks = 64;
    private const int SmallChunkIds = 64;

    private readonly ClientStore _store;
    private readonly string _prefix;
    private readonly HashSet<Bytes32> _known = [];
    private readonly List<(int Number, int Count)> _chunks = [];
    private readonly List<Bytes32> _new = [];
    private int _stored;

    /// <summary>Of a group that knows nothing yet.</summary>
    public SeenIds(ClientStore store, string groupId) => (_store, _prefix) = (store, $"g/{groupId}/seen/");

    /// <summary>What the store has of a group.</summary>
    public static SeenIds Load(ClientStore store, string groupId)
    {
        var seen = new SeenIds(store, groupId);
        foreach (var (key, value) in store.Scan(seen._prefix))
        {
            seen._known.UnionWith(Read(value));
            seen._chunks.Add((int.Parse(key.AsSpan(seen._prefix.Length), CultureInfo.InvariantCulture), value.Length / Bytes32.Size));
            seen._stored += seen._chunks[^1].Count;
        }

        return seen;
    }

    public bool Contains(in Bytes32 id) => _known.Contains(id);

    /// <summary>Remembers an id; it is in the store with the next <see cref="Save"/>.</summary>
    public void Add(in Bytes32 id)
    {
        if (_known.Add(id))
        {
            _new.Add(id);
        }
    }

    /// <summary>Writes what is new into a batch and forgets what is oldest.</summary>
    public void Save(StoreBatch batch)
    {
        foreach (var part in _new.Chunk(ChunkIds))
        {
            Put(batch, _chunks.Count == 0 ? 0 : _chunks[^1].Number + 1, [.. part.SelectMany(id => id.Span.ToArray())]);
        }

        _new.Clear();
        if (_chunks.Count >= MergedChunks && _chunks[^MergedChunks..].TrueForAll(chunk => chunk.Count <= SmallChunkIds))
        {
            var small = _chunks[^MergedChunks..];
            byte[] merged = [.. small.SelectMany(chunk => batch.Get(Key(chunk.Number), _store)!)];
            foreach (var chunk in small)
            {
                Delete(batch, chunk);
            }

            Put(batch, small[0].Number, merged);
        }

        while (_chunks.Count > 1 && _stored - _chunks[0].Count >= MaxIds)
        {
            foreach (var id in Read(batch.Get(Key(_chunks[0].Number), _store)!))
            {
                _known.Remove(id);
            }

            Delete(batch, _chunks[0]);
        }
    }

    private string Key(int number) => $"{_prefix}{number:D10}";

    private void Put(StoreBatch batch, int number, byte[] ids)
    {
        batch.Put(Key(number), ids);
        _chunks.Add((number, ids.Length / Bytes32.Size));
        _stored += ids.Length / Bytes32.Size;
    }

    private void Delete(StoreBatch batch, (int Number, int Count) chunk)
    {
        batch.Delete(Key(chunk.Number));
        _chunks.Remove(chunk);
        _stored -= chunk.Count;
    }

    private static IEnumerable<Bytes32> Read(byte[] ids)
    {
        for (int at = 0; at + Bytes32.Size <= ids.Length; at += Bytes32.Size)
        {
            yield return new Bytes32(ids.AsSpan(at, Bytes32.Size));
        }
    }
}
