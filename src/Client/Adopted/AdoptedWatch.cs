using Marmot.Client.Groups;

namespace Marmot.Client.Adopted;

/// <summary>Follows the groups of both profiles live.</summary>
internal sealed class AdoptedWatch(AdoptedGroups groups, GroupSync sync, TimeProvider time)
{
    private static readonly TimeSpan NewGroupsPause = TimeSpan.FromSeconds(1);

    /// <summary>Until cancelled; what a callback throws ends it and is thrown.</summary>
    public async Task RunAsync(Func<GroupMessage, Task> onMessage, CancellationToken cancellationToken, Func<JoinedGroup, Task>? onJoined = null)
    {
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        using var oneAtATime = new SemaphoreSlim(1, 1);
        var others = sync.WatchAsync(HandOverAsync, ending.Token, onJoined);
        var ours = FollowAsync(HandOverAsync, onJoined is not null, ending.Token);
        try
        {
            // Without invitations one side may have nothing to follow.
            var first = await Task.WhenAny(others, ours);
            await first;
            await Task.WhenAll(others, ours);
        }
        finally
        {
            await ending.CancelAsync();
            await Task.WhenAll(others, ours).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        async Task HandOverAsync(GroupMessage message)
        {
            await oneAtATime.WaitAsync(CancellationToken.None);
            try
            {
                await onMessage(message);
            }
            finally
            {
                oneAtATime.Release();
            }
        }
    }

    private async Task FollowAsync(Func<GroupMessage, Task> onMessage, bool goesOn, CancellationToken cancellationToken)
    {
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var following = new Dictionary<string, Task>(StringComparer.Ordinal);
        try
        {
            do
            {
                foreach (string id in groups.All.Where(group => group.IsActive).Select(group => group.GroupId)
                    .Where(id => !following.TryGetValue(id, out var task) || task.IsCompletedSuccessfully))
                {
                    following[id] = groups.FollowAsync(id, async report =>
                    {
                        foreach (var message in report.Messages)
                        {
                            await onMessage(message);
                        }
                    }, ending.Token);
                }

                await Task.WhenAny([.. following.Values, Task.Delay(NewGroupsPause, time, ending.Token)]);
                foreach (var failed in following.Values.Where(task => task.IsFaulted))
                {
                    await failed;
                }
            }
            while (!ending.IsCancellationRequested && (goesOn || following.Values.Any(task => !task.IsCompleted)));
        }
        finally
        {
            await ending.CancelAsync();
            await Task.WhenAll(following.Values).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }
}
