using System.Net;
using Marmot.Hosting.Callers;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Messages;
using Marmot.Relay.Budgets;
using Marmot.Relay.Turns;

namespace Marmot.Relay.Replies;

/// <summary>A client as the rooms right of the door see it: where its answers go, who it is, and what it may cost.</summary>
/// <remarks>
/// Made and ended by its connection. The read loop's own but for the outbox, the keys, trust, pending OKs and <see cref="Drop"/>, which any thread may use.
/// </remarks>
internal sealed class ReplyTarget
{
    private readonly RelayBudgets _budgets;
    private readonly Action<ConnectionEnd> _drop;
    private readonly Action _endNotUtf8;
    private int _pendingOks;
    private int _trust; // 1 trusted, -1 never again

    public ReplyTarget(Outbox outbox, Authentication auth, WorkTurn turn, RelayBudgets budgets, EventBudget budget, Action<ConnectionEnd> drop,
        Action endNotUtf8)
    {
        (Outbox, Auth, Turn, _budgets, Budget, _drop, _endNotUtf8) = (outbox, auth, turn, budgets, budget, drop, endNotUtf8);
    }

    /// <summary>Its place among the clients of a round of deliveries; the loop of the fan-out alone uses it.</summary>
    public (ulong Round, int Index) DeliveryPlace;

    /// <summary>What waits to be sent to it.</summary>
    public Outbox Outbox { get; }

    /// <summary>What it has proved (NIP-42).</summary>
    public Authentication Auth { get; }

    /// <summary>Its turns at the cores.</summary>
    public WorkTurn Turn { get; }

    /// <summary>Events it may publish (<see cref="RelayOptions.MaxEventsPerSecond"/>).</summary>
    public EventBudget Budget { get; }

    /// <summary>What is compressed for it: nothing unless permessage-deflate was agreed on.</summary>
    public RelayCompression Compression { get; init; }

    /// <summary>Where it comes from; for the operator's own program only, never logged.</summary>
    public IPAddress? Address { get; init; }

    /// <summary>Whose work budget it uses; null when it is not counted. In memory only, never logged.</summary>
    public AddressPrefix? AddressPrefix { get; init; }

    /// <summary>The keys it proved; replaced, never changed in place.</summary>
    public Bytes32[] Keys => Auth.Keys;

    /// <summary>OKs that the writer or the fan-out will send.</summary>
    public int PendingOks => Volatile.Read(ref _pendingOks);

    /// <summary>An event of it was stored, and none came with a wrong signature: its next lone event may be written before its signature is checked.</summary>
    public bool IsTrusted => Volatile.Read(ref _trust) > 0;

    public void Trust() => Interlocked.CompareExchange(ref _trust, 1, 0);

    /// <summary>For good.</summary>
    public void Distrust() => Volatile.Write(ref _trust, -1);

    /// <summary>An event was handed on: its OK is pending.</summary>
    public void BeginOk() => Interlocked.Increment(ref _pendingOks);

    /// <summary>A pending OK is sent.</summary>
    public void EndOk() => Interlocked.Decrement(ref _pendingOks);

    /// <summary>Lets a request that needs authentication wait for it, and charges for that.</summary>
    /// <returns>False when it has to be refused at once.</returns>
    public bool TryWait(WaitingRequest request)
    {
        if (!Auth.TryWait(request))
        {
            return false;
        }

        _budgets.Charge(AddressPrefix, RelayBudgets.RequestUnits);
        return true;
    }

    /// <summary>Ends the waiting of a request; an unknown id is nothing.</summary>
    public void EndWait(ClientMessageKind kind, string id) => Auth.EndWait(kind, id);

    /// <summary>OK false; one that asks for authentication comes after the challenge (NIP-42).</summary>
    public void RefuseEvent(in Bytes32 id, in RejectReason reason)
    {
        ChallengeFor(reason);
        Outbox.SendOk(id, accepted: false, reason);
    }

    /// <summary>CLOSED; one that asks for authentication comes after the challenge (NIP-42).</summary>
    public void RefuseRequest(string id, in RejectReason reason)
    {
        ChallengeFor(reason);
        Outbox.SendClosed(id, reason);
    }

    /// <summary>NEG-ERR; one that asks for authentication comes after the challenge (NIP-42).</summary>
    public void RefuseSync(string id, in RejectReason reason)
    {
        ChallengeFor(reason);
        Outbox.SendSyncError(id, reason);
    }

    /// <summary>Ends the connection from any thread.</summary>
    public void Drop(ConnectionEnd reason) => _drop(reason);

    /// <summary>RFC 6455, 8.1: text that is not UTF-8 ends the connection.</summary>
    public void EndNotUtf8() => _endNotUtf8();

    private void ChallengeFor(in RejectReason reason)
    {
        if (reason.Prefix == RejectPrefix.AuthRequired)
        {
            Auth.SendChallenge();
        }
    }
}
