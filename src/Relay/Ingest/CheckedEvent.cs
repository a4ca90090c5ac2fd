using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Relay.Storage;

namespace Marmot.Relay.Ingest;

/// <summary>An event whose shape, rules, id and signature are good. Made by <see cref="EventCheck"/> only.</summary>
internal readonly record struct VerifiedEvent(EventRecord Record);

/// <summary>An event that is good but for its signature, which the store checks while the disk is at work. Made by <see cref="EventCheck"/> only.</summary>
/// <remarks>It goes to <see cref="EventWriterLoop.TryWriteDeferred"/> or back to <see cref="EventCheck.TryComplete"/>; nothing else takes it.</remarks>
internal readonly record struct DeferredEvent(EventRecord Record);

/// <summary>What <see cref="EventCheck"/> found out about one EVENT: why it is refused, or one of the two tickets that the writer takes.</summary>
internal readonly struct CheckedEvent
{
    private readonly EventRecord? _record;
    private readonly bool _isDeferred;

    private CheckedEvent(in Bytes32 id, in RejectReason reason, EventRecord? record, bool isDeferred)
    {
        (Id, Reason, _record, _isDeferred, WasRead) = (id, reason, record, isDeferred, true);
    }

    /// <summary>False for the default value: the message could not be read, and says nothing about an event.</summary>
    public bool WasRead { get; }

    /// <summary>The event's id.</summary>
    public Bytes32 Id { get; }

    /// <summary>Why it is refused; the default value when it is not.</summary>
    public RejectReason Reason { get; }

    /// <summary>The event; null when it is refused.</summary>
    public EventRecord? Record => _record;

    /// <summary>True with the ticket of a checked event.</summary>
    public bool TryGetVerified(out VerifiedEvent verified)
    {
        verified = _isDeferred || _record is null ? default : new VerifiedEvent(_record);
        return verified.Record is not null;
    }

    /// <summary>True with the ticket of an event whose signature is still to be checked.</summary>
    public bool TryGetDeferred(out DeferredEvent deferred)
    {
        deferred = _isDeferred && _record is not null ? new DeferredEvent(_record) : default;
        return deferred.Record is not null;
    }

    /// <summary>For <see cref="EventCheck"/>.</summary>
    public static CheckedEvent OfRefused(in Bytes32 id, in RejectReason reason) => new(id, reason, null, isDeferred: false);

    /// <summary>For <see cref="EventCheck"/>.</summary>
    public static CheckedEvent OfVerified(EventRecord record) => new(record.Id, default, record, isDeferred: false);

    /// <summary>For <see cref="EventCheck"/>.</summary>
    public static CheckedEvent OfDeferred(EventRecord record) => new(record.Id, default, record, isDeferred: true);
}
