using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Relay.Storage;

namespace Marmot.Relay.Ingest;

/// <summary>What a vanish request (NIP-62) removes: the events of its key and the gift wraps sent to it, up to its own time. Other vanish requests
/// stay. Not thread-safe.</summary>
/// <param name="store">Where they are.</param>
/// <param name="request">The request.</param>
/// <param name="mark">Arrival number up to which it looks.</param>
internal sealed class VanishRequest(IEventStore store, EventRecord request, ulong mark)
{
    private const int Limit = 5000;
    private readonly Queue<Func<long, Filter>> _filters = new(
    [
        until => new Filter { Authors = [request.PublicKey], Until = until },
        until => new Filter { Kinds = [EventKinds.GiftWrap], Tags = new Dictionary<char, string[]> { ['p'] = [request.PublicKey.ToString()] }, Until = until },
    ]);

    private long _until = request.CreatedAt;
    private bool _isIncomplete;

    /// <summary>Up to which arrival number nothing is left once <see cref="FindMoreAsync"/> has found no more and what it found is removed; 0 when that
    /// cannot be said.</summary>
    public ulong CompleteUpTo => _isIncomplete ? 0 : mark;

    /// <summary>The next ones, newest first; none when it knows of no more. Those before are to be removed first.</summary>
    /// <exception cref="QueryTooWideException">It takes more than the scope allows to find them.</exception>
    /// <exception cref="IOException">The store cannot be read.</exception>
    public async ValueTask<IReadOnlyList<StoredKey>> FindMoreAsync(ReadScope scope, CancellationToken cancel)
    {
        while (_filters.TryPeek(out var filter))
        {
            var found = await store.QueryAsync(filter(_until), scope, mark, Limit, cancel);
            StoredKey[] removed = [.. found.Where(key => key.Kind != EventKinds.Vanish)];
            if (found.Count < Limit)
            {
                _filters.Dequeue();
                _until = request.CreatedAt;
            }
            else if (found[^1].CreatedAt < _until || removed.Length > 0)
            {
                _until = found[^1].CreatedAt; // that second again: not all of it was found
            }
            else
            {
                _isIncomplete = true; // a second full of vanish requests
                _until--;
            }

            if (removed.Length > 0)
            {
                return removed;
            }
        }

        return [];
    }
}
