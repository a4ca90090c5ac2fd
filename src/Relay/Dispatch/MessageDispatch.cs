using System.Text.Unicode;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Messages;
using Marmot.Relay.Frames;
using Marmot.Relay.Ingest;
using Marmot.Relay.Queries;
using Marmot.Relay.Replies;
using Microsoft.Extensions.Options;

namespace Marmot.Relay.Dispatch;

/// <summary>Reads each message of a connection once and hands it to its room, in order. The only file that knows all rooms.</summary>
internal sealed class MessageDispatch(
    EventCheck check, Admission admission, Requests requests, Syncs syncs, RelayMetrics metrics, IOptions<RelayOptions> options)
{
    private readonly FilterLimits _limits = new()
    {
        MaxFilters = options.Value.MaxFilters,
        MaxValuesPerList = options.Value.MaxFilterValues,
    };

    /// <summary>Handles what one read of the connection brought; the batch may be cleared afterwards.</summary>
    public async Task HandleAsync(OpenRequests open, MessageBatch messages, CancellationToken cancel)
    {
        // 1. A lone message.
        if (messages.Count == 1)
        {
            await HandleAsync(open, messages[0], cancel);
            return;
        }

        // 2. Of many, all EVENTs are checked first, on all cores.
        var events = HoldsEvents(messages) ? await CheckEventsAsync(open, messages) : null;

        // 3. In order.
        for (var i = 0; i < messages.Count; i++)
        {
            await (events is not null && events[i].WasRead
                ? AdmitAsync(open, messages[i], events[i], alone: false, cancel)
                : HandleOfManyAsync(open, messages[i], cancel));
        }
    }

    private static bool HoldsEvents(MessageBatch messages)
    {
        for (var i = 0; i < messages.Count; i++)
        {
            if (ClientMessageReader.ReadKind(messages[i].Span) == ClientMessageKind.Event)
            {
                return true;
            }
        }

        return false;
    }

    // Nothing is decided here that depends on the messages before it, but for the keys: AUTH between EVENTs is rare, so a batch that holds one goes message by
    // message.
    private async ValueTask<VerificationBatch?> CheckEventsAsync(OpenRequests open, MessageBatch messages)
    {
        var kinds = new ClientMessageKind[messages.Count];
        for (var i = 0; i < kinds.Length; i++)
        {
            kinds[i] = ClientMessageReader.ReadKind(messages[i].Span);
        }

        if (Array.IndexOf(kinds, ClientMessageKind.Auth) >= 0)
        {
            return null;
        }

        var events = new VerificationBatch(messages, kinds, open.Client.Turn, frame => Check(frame, open.Client));
        await events.RunAsync();
        return events;
    }

    /// <summary>Answers a message that is over the size limit, as far as it can be told whose answer that is.</summary>
    public void RefuseTooLarge(OpenRequests open, OversizedMessage passed)
    {
        var max = options.Value.MaxMessageBytes;
        var reason = RejectReason.Invalid(passed.Length > max
            ? $"a message has at most {max} bytes, this one has {passed.Length}"
            : $"a message has at most {max} bytes, this one has more");
        ClientMessageReader.TryRead(passed.Start, _limits, out var message, out _);
        if (message.Kind is ClientMessageKind.Event or ClientMessageKind.Auth && passed.EventId is { } id)
        {
            metrics.Refused(reason.Prefix);
            open.Client.Outbox.SendOk(id, accepted: false, reason);
        }
        else
        {
            Refuse(open, passed.Start, message, reason);
        }
    }

    /// <summary>Closes all that a client left open.</summary>
    public void CloseAll(OpenRequests open)
    {
        requests.CloseAll(open);
        syncs.CloseAll(open);
    }

    // The default value when the message cannot be read: what is wrong is then said in its turn.
    private CheckedEvent Check(ReadOnlySpan<byte> frame, ReplyTarget client) =>
        ClientMessageReader.TryRead(frame, _limits, out var message, out _) ? check.Check(message.Event, frame.Length, client, mayDefer: false) : default;

    private ValueTask HandleOfManyAsync(OpenRequests open, ReadOnlyMemory<byte> frame, CancellationToken cancel)
    {
        open.Client.Turn.YieldThread();
        return HandleAsync(open, frame, cancel);
    }

    private async ValueTask HandleAsync(OpenRequests open, ReadOnlyMemory<byte> frame, CancellationToken cancel)
    {
        await open.Client.Turn.EnterAsync();
        try
        {
            await HandleInTurnAsync(open, frame, cancel);
        }
        finally
        {
            open.Client.Turn.Leave();
        }
    }

    private ValueTask HandleInTurnAsync(OpenRequests open, ReadOnlyMemory<byte> frame, CancellationToken cancel)
    {
        var client = open.Client;
        if (!ClientMessageReader.TryRead(frame.Span, _limits, out var message, out var reason))
        {
            Refuse(open, frame.Span, message, reason);
            return message.Kind == ClientMessageKind.Auth ? client.Auth.AnswerWaitingAsync(isAuthenticated: false, client.Turn, cancel) : default;
        }

        switch (message.Kind)
        {
            case ClientMessageKind.Event:
                var evt = check.Check(message.Event, frame.Length, client, mayDefer: true);
                client.Turn.Leave(); // what follows may wait for the writer
                return AdmitAsync(open, frame, evt, alone: true, cancel);
            case ClientMessageKind.Auth:
                var isAuthenticated = client.Auth.Authenticate(message.Event);
                client.Turn.Leave(); // each request that waited takes its own
                return client.Auth.AnswerWaitingAsync(isAuthenticated, client.Turn, cancel);
            case ClientMessageKind.Req:
                return requests.OpenAsync(open, message.SubscriptionId!, message.Filters, cancel);
            case ClientMessageKind.Count:
                return requests.CountAsync(open, message.SubscriptionId!, message.Filters, cancel);
            case ClientMessageKind.Close:
                requests.CloseByClient(open, message.SubscriptionId!);
                return default;
            case ClientMessageKind.NegOpen:
                return syncs.OpenAsync(open, message.SubscriptionId!, message.Filters[0], Convert.FromHexString(message.NegentropyHex), cancel);
            case ClientMessageKind.NegMsg:
                syncs.Continue(open, message.SubscriptionId!, Convert.FromHexString(message.NegentropyHex));
                return default;
            default:
                syncs.Close(open, message.SubscriptionId!);
                return default;
        }
    }

    private ValueTask AdmitAsync(OpenRequests open, ReadOnlyMemory<byte> frame, in CheckedEvent evt, bool alone, CancellationToken cancel)
    {
        if (evt.Reason.Prefix == RejectPrefix.AuthRequired)
        {
            WaitOrRefuse(open, frame, evt.Id, evt.Reason);
            return default;
        }

        return admission.AdmitAsync(evt, open.Client, alone, cancel);
    }

    // NIP-42: from the start, once the client has authenticated; the batch's buffer is another one by then.
    private void WaitOrRefuse(OpenRequests open, ReadOnlyMemory<byte> frame, Bytes32 id, RejectReason reason)
    {
        var copy = frame.ToArray();
        var request = new WaitingRequest(
            ClientMessageKind.Event,
            Id: "",
            copy.Length,
            Check: () => ClientMessageReader.TryRead(copy, _limits, out var message, out _) ? check.CheckSender(message.Event, open.Client) : default,
            Serve: token => HandleInTurnAsync(open, copy, token),
            Refuse: why =>
            {
                metrics.Refused(why.Prefix);
                open.Client.RefuseEvent(id, why);
            });
        if (!open.Client.TryWait(request))
        {
            request.Refuse(reason);
        }
    }

    // The answer goes where the client looks for it: OK, CLOSED, NEG-ERR, else NOTICE. What was open under the id of a refused request is not any more.
    private void Refuse(OpenRequests open, ReadOnlySpan<byte> frame, in ClientMessage message, in RejectReason reason)
    {
        metrics.Refused(reason.Prefix);
        if (!Utf8.IsValid(frame))
        {
            open.Client.EndNotUtf8();
            return;
        }

        switch (message.Kind)
        {
            case ClientMessageKind.Event or ClientMessageKind.Auth when message.HasEventId:
                open.Client.Outbox.SendOk(message.EventId, accepted: false, reason);
                break;
            case ClientMessageKind.Req when message.SubscriptionId is { } id:
                requests.Refuse(open, id, reason);
                break;
            case ClientMessageKind.Count when message.SubscriptionId is { } id:
                Requests.RefuseCount(open, id, reason);
                break;
            case ClientMessageKind.NegOpen or ClientMessageKind.NegMsg when message.SubscriptionId is { } id:
                syncs.Refuse(open, id, reason);
                break;
            default:
                open.Client.Outbox.SendNotice(reason.ToString());
                break;
        }
    }
}
