using System.Text;
using Marmot.Client.Groups;
using Marmot.Client.Storage;
using Marmot.Protocol.Components;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Groups;

namespace Marmot.Client.Adopted;

/// <summary>What waits: events that no key opens yet, and commits that refer to proposals that have not come.</summary>
internal sealed partial class AdoptedGroup
{
    /// <summary>Events that no key opens yet; the next is not stored.</summary>
    private const int MaxDeferred = 256;

    /// <summary>How often such an event is tried with new keys.</summary>
    private const int MaxTries = 32;

    /// <summary>How long it is kept.</summary>
    private const long DeferredSeconds = 30L * 24 * 60 * 60;

    private readonly Dictionary<Bytes32, Incoming> _deferred = [];
    private readonly Dictionary<Bytes32, ParkedCommit> _parked = [];

    /// <summary>
    /// True when events keep coming that are newer than all that was read and that no key here opens: the others went on without this client, further than
    /// may be rewound. Strangers who write
    /// garbage under the group's public id raise it too.
    /// </summary>
    public bool IsLeftBehind => IsActive && _deferred.Values.Count(one => one.Event.CreatedAt >= _record.HeardAt) >= (int)_policy.MaxRewindCommits;

    /// <summary>True when a Welcome into this very group may replace what is known of it: others went on, and who invites is an admin here too.</summary>
    public bool MayReplace(Mls.Groups.Group welcomed) => IsLeftBehind && welcomed.Epoch > Epoch
        && welcomed.WelcomeSigner is { } signer && welcomed.Leaf(signer) is { } leaf && State.Admins.Contains(AdoptedLeaf.AccountOf(leaf));

    // Kept for keys that may come; what was tried often enough, or is too old, goes.
    private void Defer(Step step, Incoming one)
    {
        bool isKnown = _deferred.ContainsKey(one.Event.Id);
        one.At = Math.Min(one.At, Now);
        if (one.Tries >= MaxTries || one.At < Now - DeferredSeconds)
        {
            Done(step, one);
            step.Report.Incidents.Add(new GroupIncident(one.Event.Id, GroupOutcome.Stale));
        }
        else if (isKnown || _deferred.Count < MaxDeferred)
        {
            _deferred[one.Event.Id] = one;
            if (!isKnown || one.Tries != one.StoredTries)
            {
                one.StoredTries = one.Tries;
                step.Batch.PutJson(DeferredKey(one.Event.Id), new DeferredEvent(Encoding.UTF8.GetString(one.Event.Json.Span), one.At, one.Tries));
            }

            if (!isKnown)
            {
                step.Report.Incidents.Add(new GroupIncident(one.Event.Id, GroupOutcome.Parked));
            }
        }
        else
        {
            HasOverflow = true;
        }
    }

    private void LoadWaiting()
    {
        foreach (var (_, value) in _store.Scan(DeferredKey("")))
        {
            var stored = StoreJson.Read<DeferredEvent>(value);
            if (NostrEvent.TryParse(Encoding.UTF8.GetBytes(stored.EventJson), out var evt, out _) && AdoptedGroupEvent.TryParse(evt, out var envelope, out _))
            {
                _deferred[evt.Id] = new Incoming(evt, envelope) { At = stored.At, Tries = stored.Tries, StoredTries = stored.Tries };
            }
        }

        foreach (var (key, value) in _store.Scan(ParkedKey("")))
        {
            _parked[Bytes32.ParseHex(key[ParkedKey("").Length..])] = StoreJson.Read<ParkedCommit>(value);
        }

        foreach (var state in _states.Entries.Keys)
        {
            OrderOf(state);
        }
    }

    private string DeferredKey(object eventId) => $"{Prefix}deferred/{eventId}";

    private string ParkedKey(object digest) => $"{Prefix}parked/{digest}";

    /// <summary>An event on its way in.</summary>
    private sealed class Incoming(NostrEvent evt, GroupEvent envelope)
    {
        public NostrEvent Event { get; } = evt;
        public GroupEvent Envelope { get; } = envelope;
        public long At { get; set; } = long.MaxValue;
        public int Tries { get; set; }
        public int StoredTries { get; set; } = -1;

        /// <summary>How many keys were known at the last try.</summary>
        public int Tried { get; set; }
    }

    /// <summary>One step: its batch, its report, what it works on.</summary>
    private sealed class Step(bool isComplete)
    {
        public StoreBatch Batch { get; } = new();
        public GroupReport Report { get; } = new();
        public List<Incoming> Waiting { get; } = [];
        public HashSet<Bytes32> Ids { get; } = [];

        /// <summary>True when all that relays have is here.</summary>
        public bool IsComplete { get; } = isComplete;

        /// <summary>True while a commit lies further ahead than a pass looks.</summary>
        public bool IsAhead { get; set; }
    }
}
