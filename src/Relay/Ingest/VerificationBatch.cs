using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Messages;
using Marmot.Relay.Connections;
using Marmot.Relay.Storage;

namespace Marmot.Relay.Ingest;

/// <summary>The verdict on one EVENT: a record to store, a duplicate, or a refusal.</summary>
internal readonly record struct Verified(EventRecord? Record, Bytes32 Id, RejectReason Reason, bool IsEvent)
{
    /// <summary>All but the signature is found good; whoever writes it checks that.</summary>
    public bool IsUnchecked { get; init; }
}

/// <summary>Verifies the EVENTs of one batch: in the connection's turns, and with the help of the cores that nobody wants.</summary>
internal sealed class VerificationBatch(Ingester ingester, MessageBatch messages, Connection connection) : IThreadPoolWorkItem
{
    /// <summary>Below this many messages helpers cost more than they bring.</summary>
    private const int MinForHelpers = 4;

    /// <summary>Messages between two looks at who waits: a third of a millisecond of signature checks.</summary>
    private const int Slice = 8;

    private readonly Verified[] _results = new Verified[messages.Count];
    private readonly TaskCompletionSource _done = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _next = -1;
    private int _finished;

    public Verified this[int index] => _results[index];

    public async Task RunAsync()
    {
        var helpers = messages.Count < MinForHelpers ? 0 : Math.Min(Environment.ProcessorCount - 1, messages.Count / MinForHelpers);
        for (var i = 0; i < helpers; i++)
        {
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }

        await connection.Turn.EnterAsync();
        try
        {
            while (VerifySome())
            {
                await connection.Turn.YieldAsync();
            }
        }
        finally
        {
            connection.Turn.Leave();
        }

        await _done.Task;
    }

    void IThreadPoolWorkItem.Execute()
    {
        if (!connection.Turn.TryEnterHelper())
        {
            return;
        }

        while (!connection.Turn.IsWanted && VerifySome())
        {
        }

        connection.Turn.LeaveHelper();
    }

    // False when the last message is taken.
    private bool VerifySome()
    {
        for (var i = 0; i < Slice; i++)
        {
            var index = Interlocked.Increment(ref _next);
            if (index >= _results.Length)
            {
                return false;
            }

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

        return true;
    }
}
