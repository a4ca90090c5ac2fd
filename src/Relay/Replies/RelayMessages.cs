using System.Buffers;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Messages;
using Marmot.Relay.Frames;

namespace Marmot.Relay.Replies;

/// <summary>Small answers, written into a buffer of the calling thread and queued.</summary>
internal static class RelayMessages
{
    [ThreadStatic]
    private static ArrayBufferWriter<byte>? t_buffer;

    private static ArrayBufferWriter<byte> Buffer
    {
        get
        {
            var buffer = t_buffer ??= new ArrayBufferWriter<byte>(512);
            buffer.ResetWrittenCount();
            return buffer;
        }
    }

    public static void SendOk(this Outbox outbox, in Bytes32 id)
    {
        var buffer = Buffer;
        RelayMessageWriter.WriteOk(buffer, id);
        outbox.Send(buffer.WrittenSpan);
    }

    public static void SendOk(this Outbox outbox, in Bytes32 id, bool accepted, in RejectReason reason)
    {
        var buffer = Buffer;
        RelayMessageWriter.WriteOk(buffer, id, accepted, reason);
        outbox.Send(buffer.WrittenSpan);
    }

    public static void SendClosed(this Outbox outbox, string subscription, in RejectReason reason)
    {
        var buffer = Buffer;
        RelayMessageWriter.WriteClosed(buffer, RelayMessageWriter.EncodeSubscriptionId(subscription), reason);
        outbox.Send(buffer.WrittenSpan);
    }

    public static void SendSyncMessage(this Outbox outbox, string subscription, ReadOnlySpan<byte> message, bool deflates)
    {
        var buffer = new ArrayBufferWriter<byte>((message.Length * 2) + 128);
        RelayMessageWriter.WriteNegentropyMessage(buffer, RelayMessageWriter.EncodeSubscriptionId(subscription), message);
        if (deflates && MessageDeflater.TryDeflate(buffer.WrittenSpan, default) is { } deflated)
        {
            outbox.Send(deflated, FrameOpcode.DeflatedText);
        }
        else
        {
            outbox.Send(buffer.WrittenSpan);
        }
    }

    public static void SendSyncError(this Outbox outbox, string subscription, in RejectReason reason)
    {
        var buffer = Buffer;
        RelayMessageWriter.WriteNegentropyError(buffer, RelayMessageWriter.EncodeSubscriptionId(subscription), reason);
        outbox.Send(buffer.WrittenSpan);
    }

    public static void SendNotice(this Outbox outbox, string text)
    {
        var buffer = Buffer;
        RelayMessageWriter.WriteNotice(buffer, text);
        outbox.Send(buffer.WrittenSpan);
    }

    public static void SendAuth(this Outbox outbox, string challenge)
    {
        var buffer = Buffer;
        RelayMessageWriter.WriteAuth(buffer, challenge);
        outbox.Send(buffer.WrittenSpan);
    }

    public static void SendCount(this Outbox outbox, string subscription, long count, ReadOnlySpan<byte> hyperLogLog = default)
    {
        var buffer = Buffer;
        RelayMessageWriter.WriteCount(buffer, RelayMessageWriter.EncodeSubscriptionId(subscription), count, isApproximate: false, hyperLogLog);
        outbox.Send(buffer.WrittenSpan);
    }

    public static ReadOnlySpan<byte> Eose(ReadOnlySpan<byte> encodedSubscription, EoseHint hint)
    {
        var buffer = Buffer;
        RelayMessageWriter.WriteEose(buffer, encodedSubscription, hint);
        return buffer.WrittenSpan;
    }
}
