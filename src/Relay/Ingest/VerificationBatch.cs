using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Messages;
using Marmot.Relay.Connections;
using Marmot.Relay.Storage;

namespace Marmot.Relay.Ingest;

/// <summary>The verdict on one EVENT: a record to store, a duplicate, or a refusal.</summary>
internal readonly record struct Verified(EventRecord? Record, Bytes32 Id, RejectReason Reason, bool IsEvent);

/// <summary>Verifies the EVENTs of one batch on all cores: the connection's own thread and helpers take messages by turn.</summary>
internal sealed class VerificationBatch(Ingester ingester, MessageBatch messages, Connection connection) : IThreadPoolWorkItem
{
    /// <summary>Below this many messages helpers cost more than they bring.</summary>
    private const int MinForHelpers = 4;

    private readonly Verified[] _results = new Verified[messages.Count];
    private readonly TaskCompletionSource _done = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _next = -1;
    private int _finished;

    public Verified this[int index] => _results[index];

    public Task RunAsync()
    {
        var helpers = messages.Count < MinForHelpers ? 0 : Math.Min(Environment.ProcessorCount - 1, messages.Count / MinForHelpers);
        for (var i = 0; i < helpers; i++)
        {
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }

        Work();
        return _done.Task;
    }

    void IThreadPoolWorkItem.Execute() => Work();

    private void Work()
    {
        int index;
        while ((index = Interlocked.Increment(ref _next)) < _results.Length)
        {
            try
            {
                var frame = messages[index].Span;
                if (frame.StartsWith("[\"EVENT\""u8))
                {
                    _results[index] = ingester.Verify(frame, connection);
                }
            }
            catch (Exception exception)
            {
                _done.TrySetException(exception);
            }

            if (Interlocked.Increment(ref _finished) == _results.Length)
            {
                _done.TrySetResult();
            }
        }
    }
}
