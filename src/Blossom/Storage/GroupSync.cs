namespace Marmot.Blossom.Storage;

/// <summary>One flush of a file for all who wait for one: whoever comes while the disk works shares the next. Any thread.</summary>
/// <remarks>After a flush that failed nobody knows what is on the medium, and the system may well report the next one as good: from then on every flush
/// fails.</remarks>
internal sealed class GroupSync(IDiskFile file)
{
    private readonly Lock _gate = new();
    private TaskCompletionSource _next = NewRound();
    private IOException? _failure;
    private int _waiting;
    private bool _isRunning;

    /// <summary>What was written before the call is on the medium when the task completes.</summary>
    /// <exception cref="IOException">The medium failed, now or before; what was written may be lost.</exception>
    public Task WaitAsync()
    {
        Task round;
        lock (_gate)
        {
            _waiting++;
            round = _next.Task;
            if (_isRunning)
            {
                return round;
            }

            _isRunning = true;
        }

        RunRound(); // the first to come does the work of its round itself
        return round;
    }

    private void RunRound()
    {
        TaskCompletionSource round;
        lock (_gate)
        {
            (round, _next, _waiting) = (_next, NewRound(), 0);
        }

        try
        {
            if (_failure is { } earlier)
            {
                throw new FlushFailedException(earlier);
            }

            file.Flush();
            round.SetResult();
        }
        catch (IOException error)
        {
            _failure ??= error;
            round.SetException(error as FlushFailedException ?? new FlushFailedException(error));
        }

        lock (_gate)
        {
            if (_waiting == 0)
            {
                _isRunning = false;
                return;
            }
        }

        ThreadPool.UnsafeQueueUserWorkItem(static sync => sync.RunRound(), this, preferLocal: false);
    }

    private static TaskCompletionSource NewRound() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}

/// <summary>A flush failed, now or since the file was opened: whether the last changes are on the medium is unknown, and no further ones are made until the
/// server is started again.</summary>
internal sealed class FlushFailedException(IOException inner)
    : IOException("the disk did not take down what was written; start the server again once it is well", inner);
