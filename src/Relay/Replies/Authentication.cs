using System.IO.Pipelines;
using Marmot.Protocol.Auth;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Messages;
using Marmot.Relay.Turns;

namespace Marmot.Relay.Replies;

/// <summary>NIP-42 for one client: its challenge, the keys it proved, and the requests that wait for a proof.</summary>
/// <remarks>The read loop's own but for <see cref="Keys"/>, which any thread may read.</remarks>
/// <param name="outbox">Where answers go.</param>
/// <param name="challenge">This connection's.</param>
/// <param name="relayUrl">What an AUTH has to name; null when no name can be believed (<see cref="RelayIdentity.SignedUrl(string, string)"/>).</param>
/// <param name="waiting">How requests wait; null when they are refused at once.</param>
/// <param name="input">Where the read loop reads; woken when a request has waited long enough.</param>
/// <param name="clock">The clock.</param>
internal sealed class Authentication(
    Outbox outbox, string challenge, string? relayUrl, AuthWaiting? waiting, PipeReader input, TimeProvider clock) : IDisposable
{
    private const int MaxKeys = 32;
    private volatile Bytes32[] _keys = [];
    private AuthWaits? _waits; // made when the first waits: most connections never need it

    /// <summary>The keys that were proved; replaced, never changed in place.</summary>
    public Bytes32[] Keys => _keys;

    /// <summary>Sends the challenge, again if need be.</summary>
    public void SendChallenge() => outbox.SendAuth(challenge);

    /// <summary>Takes an AUTH; several keys may be proved one after another. <see cref="AnswerWaitingAsync"/> follows.</summary>
    /// <returns>Whether the key counts as proved.</returns>
    public bool Authenticate(in NostrEventView evt)
    {
        if (relayUrl is null)
        {
            outbox.SendOk(evt.Id, accepted: false, Rejections.NoOrigin);
            return false;
        }

        var verdict = RelayAuth.Check(evt.AsStored(), challenge, relayUrl, clock.GetUtcNow());
        if (verdict != RelayAuthVerdict.Accepted)
        {
            outbox.SendOk(evt.Id, accepted: false, RelayAuth.ToReason(verdict));
            return false;
        }

        if (Array.IndexOf(_keys, evt.PublicKey) < 0)
        {
            if (_keys.Length >= MaxKeys)
            {
                outbox.SendOk(evt.Id, accepted: false, Rejections.TooManyKeys);
                return false;
            }

            _keys = [.. _keys, evt.PublicKey];
        }

        outbox.SendOk(evt.Id);
        return true;
    }

    /// <summary>Lets a request that needs authentication wait for it; the challenge goes out with the first.</summary>
    /// <returns>False when it has to be refused at once: waiting is off, or too much waits already.</returns>
    public bool TryWait(WaitingRequest request)
    {
        if (waiting is null)
        {
            return false;
        }

        _waits ??= new AuthWaits(waiting, input.CancelPendingRead);
        var isFirst = _waits.Count == 0;
        if (!_waits.TryAdd(request))
        {
            return false;
        }

        if (isFirst)
        {
            SendChallenge();
        }

        return true;
    }

    /// <summary>Ends the waiting of a request without an answer; an unknown id is nothing.</summary>
    public void EndWait(ClientMessageKind kind, string id) => _waits?.Remove(kind, id);

    /// <summary>After an AUTH: what may be served now is served, each request in a turn of its own. After one that failed, all that waits is refused.</summary>
    public async ValueTask AnswerWaitingAsync(bool isAuthenticated, FairTurn turn, CancellationToken cancel)
    {
        if (_waits is not { Count: > 0 } waits)
        {
            return;
        }

        if (!isAuthenticated)
        {
            waits.TakeAll().ForEach(request => request.Refuse(request.Check()));
            return;
        }

        foreach (var request in waits.TakeServable())
        {
            await turn.EnterAsync();
            try
            {
                await request.Serve(cancel);
            }
            finally
            {
                turn.Leave();
            }
        }
    }

    /// <summary>Refuses what has waited long enough.</summary>
    public void RefuseExpired() => _waits?.TakeExpired().ForEach(request => request.Refuse(request.Check()));

    /// <summary>Refuses all that waits.</summary>
    public void RefuseAll(RejectReason reason) => _waits?.TakeAll().ForEach(request => request.Refuse(reason));

    /// <summary>Forgets what waits, without an answer.</summary>
    public void Dispose() => _waits?.Dispose();
}
