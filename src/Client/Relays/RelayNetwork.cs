using System.Collections.Concurrent;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Messages;

namespace Marmot.Client.Relays;

/// <summary>Relays over WebSockets: at most two connections a relay, one that never says who the account is unless the relay insists, and one that
/// authenticates (NIP-42).</summary>
/// <remarks>Group events are read and written over the nameless connection, so a relay that serves both cannot tie an account to its groups by the
/// connection.</remarks>
public sealed class RelayNetwork(RelayNetworkOptions options, TimeProvider time) : IRelayNetwork
{
    // A page shorter than this is the last one where the relay does not say (NIP-67): no relay caps its answers lower.
    private const int SmallestPage = 64;

    // A second that holds more than a page is asked for in greater ones, up to so many times as great.
    private const int MaxPageGrowth = 8;

    // Two million events of the default page: who has more to say is asked again from there another time.
    private const int MaxPages = 1000;

    // Fewer are checked before other threads have woken up.
    private const int ParallelFrom = 32;

    private readonly ConcurrentDictionary<(string Relay, bool AsAccount), RelayLink> _links = new();

    /// <inheritdoc/>
    public async Task<RelayReply> PublishAsync(string relay, NostrEvent evt, CancellationToken cancellationToken)
    {
        var reply = await Link(relay, asAccount: false).PublishAsync(evt, cancellationToken);
        return reply.Answer == RelayAnswer.Refused && RelayLink.WantsAuth(reply.Message) && options.Account is not null
            ? await Link(relay, asAccount: true).PublishAsync(evt, cancellationToken)
            : reply;
    }

    /// <inheritdoc/>
    public async Task<RelayFetch> FetchAsync(string relay, Filter filter, bool asAccount, CancellationToken cancellationToken)
    {
        var found = new List<NostrEvent>();
        var seen = new HashSet<Bytes32>();
        long? until = filter.Until;
        int size = options.PageSize;
        for (int pages = 0; ; pages++)
        {
            var page = new Filter
            {
                Ids = filter.Ids,
                Authors = filter.Authors,
                Kinds = filter.Kinds,
                Tags = filter.Tags,
                Since = filter.Since,
                Until = until,
                Limit = filter.Limit ?? size,
            };
            var answer = await Link(relay, asAccount).FetchAsync(page, cancellationToken);
            if (!answer.Complete && !asAccount && options.Account is not null && RelayLink.WantsAuth(answer.Message))
            {
                asAccount = true;
                continue;
            }

            int before = found.Count;

            // A relay is a stranger: what was not asked for and what is not signed is as unsaid. Signatures are what a catch-up costs most, so all cores check
            // them.
            var unseen = answer.Events.Where(evt => !seen.Contains(evt.Id));
            var honest = answer.Events.Count < ParallelFrom
                ? unseen.Where(evt => IsHonest(page, evt))
                : unseen.AsParallel().AsOrdered().Where(evt => IsHonest(page, evt));
            found.AddRange(honest.AsEnumerable().Where(evt => seen.Add(evt.Id)));

            if (!answer.Complete)
            {
                return new RelayFetch(relay, found, false, answer.Message);
            }

            bool mayBeLast = answer.Events.Count < SmallestPage || found.Count == before;
            if (filter.Limit is not null || answer.Hint == EoseHint.Finish || (answer.Hint == EoseHint.None && mayBeLast))
            {
                return new RelayFetch(relay, found, true) { Hint = answer.Hint };
            }

            if (pages >= MaxPages)
            {
                return new RelayFetch(relay, found, false, "the relay's answer does not end") { Hint = answer.Hint };
            }

            // More, it says, and gives nothing new: its oldest second holds more than a page, or it says so always.
            if (found.Count == before)
            {
                if (size >= options.PageSize * MaxPageGrowth || answer.Events.Count < size / 2)
                {
                    return new RelayFetch(relay, found, false, "the relay holds events back and does not hand them out") { Hint = answer.Hint };
                }

                size *= 2;
                continue;
            }

            size = options.PageSize;

            // Inclusive, since one second may hold more than the page showed.
            until = found.Skip(before).Min(evt => evt.CreatedAt);
        }
    }

    /// <inheritdoc/>
    public async Task ListenAsync(string relay, Filter filter, bool asAccount, Action<NostrEvent> onEvent, CancellationToken cancellationToken)
    {
        var pause = options.ReconnectPause;
        while (!cancellationToken.IsCancellationRequested)
        {
            bool held = await Link(relay, asAccount).ListenAsync(
                filter,
                evt =>
                {
                    if (IsHonest(filter, evt))
                    {
                        onEvent(evt);
                    }
                },
                cancellationToken);
            pause = held ? options.ReconnectPause : TimeSpan.FromTicks(Math.Min(pause.Ticks * 2, TimeSpan.FromMinutes(1).Ticks));
            try
            {
                await Task.Delay(pause * (0.5 + Random.Shared.NextDouble()), time, cancellationToken);
            }
            catch (OperationCanceledException)
            {
                return;
            }
        }
    }

    /// <summary>Closes every connection.</summary>
    public async ValueTask DisposeAsync()
    {
        foreach (var link in _links.Values)
        {
            await link.DisposeAsync();
        }

        _links.Clear();
    }

    private RelayLink Link(string relay, bool asAccount) =>
        _links.GetOrAdd((relay, asAccount), key => new RelayLink(key.Relay, key.AsAccount ? options.Account : null, options, time));

    private static bool IsHonest(Filter filter, NostrEvent evt) =>
        NostrEventReader.TryRead(evt.Json.Span, out var view, out _) && filter.Matches(view) && evt.TryVerify(out _);
}
