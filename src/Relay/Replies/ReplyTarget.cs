using System.Net;
using Marmot.Hosting.Callers;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Messages;
using Marmot.Relay.Budgets;
using Marmot.Relay.Turns;

namespace Marmot.Relay.Replies;

/// <summary>Ends a client; its connection does.</summary>
internal interface IClientEnd
{
    /// <summary>From any thread.</summary>
    void Drop(ConnectionEnd reason);

    /// <summary>RFC 6455, 8.1: text that is not UTF-8 ends the connection.</summary>
    void EndNotUtf8();
}

/// <summary>A client as the rooms right of the door see it: where its answers go, who it is, and what it may cost.</summary>
/// <remarks>
/// Made and ended by its connection. The read loop's own but for the outbox, the keys, trust, pending OKs and <see cref="Drop"/>, which any thread may use.
/// </remarks>
internal sealed class ReplyTarget
{
    private readonly RelayBudgets _budgets;
    private readonly IClientEnd _end;
    private const int DeliveriesCharged = 4096; // at once: what is less costs less than charging it
    private int _delivered; // since it was charged last; the round of deliveries alone uses it
    private int _pendingOks;
    private int _trust; // 1 trusted, -1 never again

    public ReplyTarget(Outbox outbox, Authentication auth, FairTurn turn, RelayBudgets budgets, EventBudget budget, IClientEnd end)
    {
        (Outbox, Auth, Turn, _budgets, Budget, _end) = (outbox, auth, turn, budgets, budget, end);
    }

    /// <summary>Its place among the clients of a round of deliveries; the loop of the fan-out alone uses it.</summary>
    public (ulong Round, int Index) DeliveryPlace;

    /// <summary>What waits to be sent to it.</summary>
    public Outbox Outbox { get; }

    /// <summary>What it has proved (NIP-42).</summary>
    public Authentication Auth { get; }

    /// <summary>Its turns at the cores.</summary>
    public FairTurn Turn { get; }

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

    /// <summary>An event of it was stored, and none came with a wrong signature: its next single event may be written before its signature is
    /// checked.</summary>
    public bool IsTrusted => Volatile.Read(ref _trust) > 0;

    public void Trust() => Interlocked.CompareExchange(ref _trust, 1, 0);

    /// <summary>For good.</summary>
    public void Distrust() => Volatile.Write(ref _trust, -1);

    /// <summary>
    /// Charges its address for live events that it was sent. One that is over its budget by listening loses the connection that did: events cannot be left
    /// out, and what it costs to send them all is what others are to have.
    /// </summary>
    /// <remarks>For the round of deliveries, which serves a connection on one thread at a time.</remarks>
    public void ChargeDeliveries(int count)
    {
        _delivered += count;
        if (_delivered >= DeliveriesCharged)
        {
            var wait = _budgets.Charge(AddressPrefix, (double)RelayBudgets.DeliveryUnits * _delivered);
            _delivered = 0;
            if (wait > TimeSpan.Zero)
            {
                _end.Drop(ConnectionEnd.ListensToTooMuch);
            }
        }
    }

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
    public void Drop(ConnectionEnd reason) => _end.Drop(reason);

    /// <summary>RFC 6455, 8.1: text that is not UTF-8 ends the connection.</summary>
    public void EndNotUtf8() => _end.EndNotUtf8();

    private void ChallengeFor(in RejectReason reason)
    {
        if (reason.Prefix == RejectPrefix.AuthRequired)
        {
            Auth.SendChallenge();
        }
    }
}
