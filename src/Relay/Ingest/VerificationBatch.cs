using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Messages;
using Marmot.Relay.Frames;
using Marmot.Relay.Storage;
using Marmot.Relay.Turns;

namespace Marmot.Relay.Ingest;

/// <summary>Verifies the EVENTs of one batch: in the connection's turns, and with the help of the cores that nobody wants.</summary>
internal sealed class VerificationBatch(MessageBatch messages, ClientMessageKind[] kinds, FairTurn turn, VerificationBatch.Verifier verify)
    : IThreadPoolWorkItem
{
    /// <summary>Below this many messages helpers cost more than they bring.</summary>
    private const int MinForHelpers = 4;

    /// <summary>Messages between two looks at who waits: a third of a millisecond of signature checks.</summary>
    private const int Slice = 8;

    private readonly CheckedEvent[] _results = new CheckedEvent[messages.Count];
    private readonly TaskCompletionSource _done = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _next = -1;
    private int _finished;
    private volatile Exception? _failure;

    /// <summary>Judges one EVENT message; called on several threads at the same time.</summary>
    public delegate CheckedEvent Verifier(ReadOnlySpan<byte> frame);

    public CheckedEvent this[int index] => _results[index];

    /// <summary>Verifies all; afterwards nobody reads the messages any more, also when it throws what a verification threw.</summary>
    public async Task RunAsync()
    {
        var helpers = messages.Count < MinForHelpers ? 0 : Math.Min(Environment.ProcessorCount - 1, messages.Count / MinForHelpers);
        for (var i = 0; i < helpers; i++)
        {
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }

        await turn.EnterAsync();
        try
        {
            while (VerifySome())
            {
                await turn.YieldAsync();
            }
        }
        finally
        {
            turn.Leave();
        }

        await _done.Task;
    }

    void IThreadPoolWorkItem.Execute()
    {
        if (!turn.TryEnterHelper())
        {
            return;
        }

        while (!turn.IsWanted && VerifySome())
        {
        }

        turn.LeaveHelper();
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
                if (kinds[index] == ClientMessageKind.Event)
                {
                    _results[index] = verify(messages[index].Span);
                }
            }
            catch (Exception exception)
            {
                _failure = exception;
            }

            // The batch ends when all its messages are finished, failed or not: until then a helper may still read the buffer.
            if (Interlocked.Increment(ref _finished) == _results.Length)
            {
                if (_failure is { } failure)
                {
                    _done.SetException(failure);
                }
                else
                {
                    _done.SetResult();
                }
            }
        }

        return true;
    }
}
