using Marmot.Client.Storage;
using Marmot.Mls.Messages;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Groups;

namespace Marmot.Client.Groups;

/// <summary>An event on its way through a turn.</summary>
internal sealed class Candidate(NostrEvent evt, GroupEvent envelope)
{
    public NostrEvent Event { get; } = evt;

    public GroupEvent Envelope { get; } = envelope;

    public bool IsParked { get; init; }

    public bool IsDone { get; set; }

    /// <summary>True when a key opens it and it waits for messages of its sender that come before it.</summary>
    public bool IsHeld { get; set; }

    /// <summary>Set once an epoch's key opened the envelope.</summary>
    public MlsMessage? Message { get; set; }

    /// <summary>SHA-256 of the message.</summary>
    public Bytes32 Hash { get; set; }
}

/// <summary>One call of <see cref="GroupReceiver.Receive"/>: its work, its report and the batch that makes its effects true.</summary>
internal sealed class ReceiveTurn
{
    private readonly List<Candidate> _candidates = [];

    public ReceiveTurn(List<Candidate> work, GroupReport report, StoreBatch batch, Action<StoreBatch, MlsMessage, IReadOnlyList<Invitee>> queueWelcomes)
    {
        (Report, Batch, QueueWelcomes) = (report, batch, queueWelcomes);
        Add(work);
    }

    /// <summary>What is still to be done, oldest first.</summary>
    public IEnumerable<Candidate> Work => _candidates.Where(one => !one.IsDone);

    public GroupReport Report { get; }

    /// <summary>True when the relays have given all they have.</summary>
    public bool IsComplete { get; init; }

    public StoreBatch Batch { get; }

    /// <summary>Makes the outbox entries of the Welcomes of an own commit.</summary>
    public Action<StoreBatch, MlsMessage, IReadOnlyList<Invitee>> QueueWelcomes { get; }

    public void Add(List<Candidate> more)
    {
        _candidates.RemoveAll(one => one.IsDone);
        _candidates.AddRange(more);
        _candidates.Sort((a, b) => CommitRace.Compare(a.Event.CreatedAt, a.Event.Id, b.Event.CreatedAt, b.Event.Id));
    }
}
