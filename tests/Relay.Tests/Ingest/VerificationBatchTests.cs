using System.Buffers;
using Marmot.Protocol.Messages;
using Marmot.Relay.Frames;
using Marmot.Relay.Ingest;
using Marmot.Relay.Tests.Kit;
using Marmot.Relay.Turns;

namespace Marmot.Relay.Tests.Ingest;

public sealed class VerificationBatchTests
{
    [Fact]
    public async Task A_batch_that_failed_ends_when_all_its_messages_are_finished()
    {
        using var messages = new MessageBatch();
        for (var i = 0; i < 16; i++)
        {
            var bytes = new ReadOnlySequence<byte>(RawClient.Frame("[\"EVENT\",{}]"));
            Assert.Equal(FrameResult.Complete, WebSocketFrame.TryRead(ref bytes, 1000, out var frame));
            messages.Append(frame);
        }

        using var helperReads = new ManualResetEventSlim();
        using var mayGoOn = new ManualResetEventSlim();
        var own = 0;
        var kinds = Enumerable.Repeat(ClientMessageKind.Event, messages.Count).ToArray();
        var batch = new VerificationBatch(messages, kinds, new FairTurn(new FairScheduler(2), lane: -1), _ =>
        {
            if (Environment.CurrentManagedThreadId == Volatile.Read(ref own))
            {
                helperReads.Wait(TimeSpan.FromSeconds(10));
                throw new InvalidOperationException("a fault");
            }

            helperReads.Set();
            mayGoOn.Wait(TimeSpan.FromSeconds(10));
            return default;
        });
        var thread = new Thread(() =>
        {
            Volatile.Write(ref own, Environment.CurrentManagedThreadId);
            _run = batch.RunAsync();
        });
        thread.Start();
        thread.Join();

        // All its own messages have failed, and the helper still reads the buffer of its one.
        await Task.WhenAny(_run!, Task.Delay(300));
        Assert.True(helperReads.IsSet);
        Assert.False(_run!.IsCompleted);
        mayGoOn.Set();
        await Assert.ThrowsAsync<InvalidOperationException>(() => _run);
    }

    private Task? _run;
}
