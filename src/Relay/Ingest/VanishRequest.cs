using Marmot.Protocol.Encoding;
using Marmot.Protocol.Filters;
using Marmot.Relay.Storage;

namespace Marmot.Relay.Ingest;

/// <summary>What a vanish request (NIP-62) makes the store do.</summary>
internal static class VanishRequest
{
    /// <summary>How many events it removes: those of the key, and the gift wraps sent to it.</summary>
    /// <exception cref="QueryTooWideException">More than the scope allows to look at.</exception>
    /// <exception cref="IOException">The store cannot be read.</exception>
    public static async ValueTask<long> CountAsync(IEventStore store, Bytes32 key, ReadScope scope, CancellationToken cancel)
    {
        var mark = await store.ReadMarkAsync(cancel);
        var written = await store.CountAsync(new Filter { Authors = [key] }, scope, mark, cancel);
        var wraps = new Filter { Kinds = [EventKinds.GiftWrap], Tags = new Dictionary<char, string[]> { ['p'] = [key.ToString()] } };
        return written + await store.CountAsync(wraps, scope, mark, cancel);
    }
}
