using Marmot.Client.Relays;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;

namespace Marmot.Client.Tests.Simulation;

/// <summary>What may become of everything that passes between one client and one relay during one step.</summary>
internal enum LinkMood
{
    Fine,

    /// <summary>Nothing gets through.</summary>
    Cut,

    /// <summary>Events arrive, answers do not; half of what is fetched is missing and the fetch is not complete.</summary>
    HalfDeaf,

    /// <summary>Events arrive late.</summary>
    Slow,

    /// <summary>The relay says no and means it.</summary>
    Refuses,

    /// <summary>The relay says no and keeps the event.</summary>
    RefusesAndKeeps,

    /// <summary>The relay says yes and loses the event.</summary>
    Loses,

    /// <summary>The relay shows only some of what it has and calls it all.</summary>
    Hides,

    /// <summary>The relay shows everything twice and in disorder.</summary>
    Repeats,
}

/// <summary>The relays of a run and the faults between them and the clients, all decided by the seed, the step and the link.</summary>
internal sealed class SimNetwork(int seed, int relayCount)
{
    private readonly SimRelay[] _relays = [.. Enumerable.Range(0, relayCount).Select(_ => new SimRelay())];

    public int Step { get; set; }

    private int Seed => seed;

    /// <summary>Share of links that are in a bad mood, 0 to 1; a partition lasts for several steps on top of that.</summary>
    public double Trouble { get; set; }

    public IReadOnlyList<string> Urls { get; } = [.. Enumerable.Range(0, relayCount).Select(index => $"ws://relay{index}.test/")];

    public int StoredEvents => _relays.Sum(relay => relay.Count);

    public SimView Connect(int client) => new(this, client);

    private LinkMood MoodOf(int client, int relay)
    {
        if (Trouble == 0)
        {
            return LinkMood.Fine;
        }

        // Partitions: for sixteen steps in a row some clients do not reach some relays.
        if (SimDice.For(seed, 1, Step / 16, client, relay).NextDouble() < Trouble / 2)
        {
            return LinkMood.Cut;
        }

        var dice = SimDice.For(seed, 2, Step, client, relay);
        return dice.NextDouble() >= Trouble ? LinkMood.Fine : (LinkMood)dice.Next(1, 9);
    }

    /// <summary>One client's look at the relays. A dead client's view does nothing any more.</summary>
    internal sealed class SimView(SimNetwork network, int client) : IRelayNetwork
    {
        public bool IsDead { get; set; }

        public Task<RelayReply> PublishAsync(string relay, NostrEvent evt, CancellationToken cancellationToken)
        {
            ObjectDisposedException.ThrowIf(IsDead, this);
            int index = IndexOf(relay);
            if (index < 0)
            {
                return Task.FromResult(new RelayReply(relay, RelayAnswer.Unknown, "no such relay"));
            }

            var mood = network.MoodOf(client, index);

            // Nobody but its reader may look whether a gift wrap is there (NIP-59): a Welcome that a relay lost is an invitation to repeat, which is another
            // story.
            if (mood == LinkMood.Loses && evt.Kind == Protocol.GiftWraps.GiftWrap.Kind)
            {
                mood = LinkMood.Fine;
            }

            if (mood is not (LinkMood.Cut or LinkMood.Refuses or LinkMood.Loses))
            {
                int delay = mood == LinkMood.Slow ? SimDice.For(network.Seed, 3, network.Step, client, index).Next(1, 12) : 0;
                network._relays[index].Store(evt, network.Step + delay);
            }

            return Task.FromResult(mood switch
            {
                LinkMood.Cut or LinkMood.HalfDeaf => new RelayReply(relay, RelayAnswer.Unknown, "no answer"),
                LinkMood.Refuses or LinkMood.RefusesAndKeeps => new RelayReply(relay, RelayAnswer.Refused, "error: not now"),
                _ => new RelayReply(relay, RelayAnswer.Accepted, ""),
            });
        }

        public Task<RelayFetch> FetchAsync(string relay, Filter filter, bool asAccount, CancellationToken cancellationToken)
        {
            ObjectDisposedException.ThrowIf(IsDead, this);
            int index = IndexOf(relay);
            var mood = index < 0 ? LinkMood.Cut : network.MoodOf(client, index);
            if (mood == LinkMood.Cut)
            {
                return Task.FromResult(new RelayFetch(relay, [], false, "no connection"));
            }

            var events = network._relays[index].Find(filter, network.Step);
            var dice = SimDice.For(network.Seed, 4, network.Step, client, index);
            if (mood is LinkMood.HalfDeaf or LinkMood.Hides)
            {
                events.RemoveAll(_ => dice.Next(2) == 0);
            }

            if (mood == LinkMood.Repeats)
            {
                var twice = events.Concat(events).ToArray();
                dice.Shuffle(twice);
                events = [.. twice];
            }

            return Task.FromResult(new RelayFetch(relay, events, mood != LinkMood.HalfDeaf, "cut off"));
        }

        public Task ListenAsync(string relay, Filter filter, bool asAccount, Action<NostrEvent> onEvent, CancellationToken cancellationToken) =>
            throw new NotSupportedException("the simulation looks, it does not listen");

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;

        private int IndexOf(string relay)
        {
            for (int index = 0; index < network.Urls.Count; index++)
            {
                if (network.Urls[index] == relay)
                {
                    return index;
                }
            }

            return -1;
        }
    }
}
