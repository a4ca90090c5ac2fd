using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Messages;

namespace Marmot.Protocol.RelayClient;

public sealed partial class RelayConnection
{
    /// <summary>Asks once for stored events; what came until EOSE, CLOSED or the time limit. Ids and signatures are not checked.</summary>
    public async Task<IReadOnlyList<NostrEvent>> QueryAsync(Filter filter, CancellationToken cancellationToken) =>
        _session is { } session ? (await AskAsync(session, filter, cancellationToken)).Read() : [];

    /// <summary>As <see cref="QueryAsync"/>, but null when the relay did not answer to the end: then what came says nothing about what it does not
    /// have.</summary>
    public async Task<IReadOnlyList<NostrEvent>?> TryQueryAsync(Filter filter, CancellationToken cancellationToken) =>
        _session is { } session && await AskAsync(session, filter, cancellationToken) is { IsComplete: true } query ? query.Read() : null;

    /// <summary>Gets the relay's verdict on our key (NIP-42), whether it challenges by itself or only when a request needs it: it is asked for our gift
    /// wraps.</summary>
    /// <returns>Null when the relay asks nobody who he is, so that there is no verdict; false also without a key or a connection.</returns>
    public async Task<bool?> AuthenticateAsync(CancellationToken cancellationToken)
    {
        if (_options.AuthKey is null || _session is not { } session)
        {
            return false;
        }

        if (session.IsAuthenticated)
        {
            return true;
        }

        var verdict = session.Verdict;
        var wraps = new Filter
        {
            Kinds = [GiftWraps.GiftWrap.Kind],
            Tags = new Dictionary<char, string[]> { ['p'] = [_options.AuthKey.PublicKey.ToString()] },
            Limit = 1,
        };
        var query = await AskAsync(session, wraps, cancellationToken);
        if (query.ClosedBy is null && !session.IsAnswering && !verdict.IsCompleted)
        {
            return null;
        }

        try
        {
            return await verdict.WaitAsync(_options.AnswerTimeout, _time, cancellationToken);
        }
        catch (TimeoutException)
        {
            return false;
        }
    }

    private async Task<Query> AskAsync(RelaySession session, Filter filter, CancellationToken cancellationToken)
    {
        var id = RelaySession.NewId();
        var query = new Query();
        session.Add(id, query);
        try
        {
            await session.SendAsync(ClientMessageWriter.Req(id, filter), cancellationToken);
            await query.Done.Task.WaitAsync(_options.AnswerTimeout, _time, cancellationToken);
            await session.SendAsync(ClientMessageWriter.Close(id), cancellationToken);
        }
        catch (Exception e) when (e is TimeoutException || (RelaySession.IsEnd(e) && !cancellationToken.IsCancellationRequested))
        {
            // What came so far is the answer.
        }
        finally
        {
            session.Remove(id);
        }

        return query;
    }

    private sealed class Query : RelayListener
    {
        private const int MaxEvents = 100;

        private readonly List<NostrEvent> _events = [];

        /// <summary>True once its EOSE came.</summary>
        public bool IsComplete { get; private set; }

        /// <summary>The prefix of the CLOSED that ended it; null when something else did.</summary>
        public RejectPrefix? ClosedBy { get; private set; }

        public TaskCompletionSource Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public IReadOnlyList<NostrEvent> Read()
        {
            lock (_events)
            {
                return [.. _events];
            }
        }

        protected internal override void OnEvent(in NostrEventView evt)
        {
            lock (_events)
            {
                if (_events.Count < MaxEvents)
                {
                    _events.Add(NostrEvent.FromView(evt));
                }
            }
        }

        protected internal override ValueTask OnEoseAsync(EoseHint hint)
        {
            IsComplete = true;
            Done.TrySetResult();
            return ValueTask.CompletedTask;
        }

        protected internal override ValueTask OnClosedAsync(RejectPrefix prefix, string text)
        {
            ClosedBy = prefix;
            Done.TrySetResult();
            return ValueTask.CompletedTask;
        }

        protected internal override void OnEnd() => Done.TrySetResult();
    }
}
