using Marmot.Platform.Files;
using Microsoft.Win32.SafeHandles;

namespace Marmot.Blossom.Storage;

/// <summary>One sync of a file for all who wait for one: whoever comes while the disk works shares the next. Any thread.</summary>
internal sealed class GroupSync(SafeFileHandle file)
{
    private readonly Lock _gate = new();
    private TaskCompletionSource _next = NewRound();
    private int _waiting;
    private bool _isRunning;

    /// <summary>What was written before the call is on the medium when the task completes.</summary>
    /// <exception cref="IOException">The medium failed; what was written may be lost.</exception>
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
            FileData.Flush(file);
            round.SetResult();
        }
        catch (IOException error)
        {
            round.SetException(error);
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
