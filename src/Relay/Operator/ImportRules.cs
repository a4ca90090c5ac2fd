using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Relay.Ingest;
using Marmot.Relay.Storage;

namespace Marmot.Relay.Operator;

/// <summary>Rules of the relay that an operator may leave aside for what he brings himself. What no relay may hold is refused all the same
/// (<see cref="StoreEntrance"/>).</summary>
[Flags]
internal enum ImportWaivers
{
    None = 0,

    /// <summary><c>--any-age</c>: older than <see cref="RelayOptions.RetentionDays"/> keeps its kind; the next round of a relay with that setting removes
    /// it.</summary>
    Age = 1,

    /// <summary><c>--any-author</c>: not on <see cref="RelayOptions.WriteAllowList"/>.</summary>
    Author = 2,

    /// <summary><c>--any-work</c>: less work than <see cref="RelayOptions.MinProofOfWork"/> (NIP-13).</summary>
    Work = 4,
}

/// <summary>What an import or a reconciliation takes: the rules of the relay that the event alone decides. The clock window of live group events does not
/// apply.</summary>
/// <param name="options">The relay's settings.</param>
/// <param name="waivers">Which of them are left aside.</param>
/// <param name="clock">The time.</param>
internal sealed class ImportRules(RelayOptions options, ImportWaivers waivers, TimeProvider clock)
{
    private readonly StoreEntrance _entrance = StoreEntrance.From(options, clock);
    private readonly HashSet<Bytes32> _authors = [.. options.WriteAllowList.Select(Bytes32.ParseHex)];
    private readonly Dictionary<int, long> _retentionSeconds = options.RetentionDays.ToDictionary(rule => RetentionKinds.Parse(rule.Key),
        rule => rule.Value * 86400L);

    /// <summary>The default settings, with nothing left aside.</summary>
    public static ImportRules Default { get; } = new(new RelayOptions(), ImportWaivers.None, TimeProvider.System);

    /// <summary>Reads and verifies one event.</summary>
    /// <param name="json">A line.</param>
    /// <param name="reason">Why not, when it is not taken.</param>
    public EventRecord? TryRead(ReadOnlySpan<byte> json, out string reason)
    {
        if (!NostrEventReader.TryRead(json, out var view, out var why))
        {
            reason = why.ToString();
            return null;
        }

        // The event as it is stored: an escaped tag is the tag it means.
        var record = EventRecord.Create(view, vanishesHere: view.Kind == EventKinds.Vanish && RelayIdentity.NamesAllRelays(view));
        reason = Refuse(record) ?? (EventVerifier.TryVerify(view, out why) ? "" : why.ToString());
        return reason.Length == 0 ? record : null;
    }

    /// <summary>What a store's verdict means to the operator; empty for what was stored or known before.</summary>
    public static string Describe(StoreVerdict verdict) => verdict switch
    {
        StoreVerdict.Stored or StoreVerdict.Duplicate or StoreVerdict.Superseded => "",
        StoreVerdict.Deleted => "it was deleted, or the operator has banned it",
        StoreVerdict.Vanished => "its author asked this relay to forget it",
        StoreVerdict.WrongSignature => "the signature does not verify",
        StoreVerdict.NeverStored => "this kind is never stored",
        StoreVerdict.TooLarge => "the event is too large (Relay:MaxMessageBytes)",
        _ => "created_at is too far in the future (Relay:MaxFuture)",
    };

    private string? Refuse(EventRecord record)
    {
        var now = clock.GetUtcNow().ToUnixTimeSeconds();
        if (_entrance.Judge(record) is { } verdict)
        {
            return Describe(verdict);
        }

        if (options.Kinds == RelayKinds.Marmot && !WritePolicy.IsMarmotKind(record.Kind))
        {
            return "this relay does not take this kind (Relay:Kinds)";
        }

        if (record.Expiration <= now)
        {
            return "the event has expired";
        }

        if (!waivers.HasFlag(ImportWaivers.Author) && _authors.Count > 0 && !_authors.Contains(record.PublicKey))
        {
            return "its author is not on Relay:WriteAllowList (--any-author)";
        }

        if (!waivers.HasFlag(ImportWaivers.Work) && ProofOfWork.LeadingZeroBits(record.Id) < options.MinProofOfWork)
        {
            return "too little proof of work (Relay:MinProofOfWork, --any-work)";
        }

        return !waivers.HasFlag(ImportWaivers.Age) && _retentionSeconds.TryGetValue(record.Kind, out var seconds) && record.CreatedAt < now - seconds
            ? "older than this relay keeps its kind (Relay:RetentionDays, --any-age)"
            : null;
    }
}
