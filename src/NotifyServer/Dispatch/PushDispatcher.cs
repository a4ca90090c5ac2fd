using Marmot.NotifyServer.Apps;

namespace Marmot.NotifyServer.Dispatch;

/// <summary>All lanes of all apps. Admits a trigger's pushes as a whole or not at all.</summary>
internal sealed class PushDispatcher(IReadOnlyList<NotifyApp> apps) : IAsyncDisposable
{
    public IEnumerable<PushLane> Lanes => apps.SelectMany(app => app.Lanes);

    public int Pending => Lanes.Sum(lane => lane.Pending);

    /// <summary>Takes places for the whole trigger; then every job must be enqueued or its place released.</summary>
    public static bool TryReserve(PushLane? apnsLane, int apns, PushLane? fcmLane, int fcm)
    {
        if (apns > 0 && !(apnsLane?.TryReserve(apns) ?? false))
        {
            return false;
        }

        if (fcm > 0 && !(fcmLane?.TryReserve(fcm) ?? false))
        {
            if (apns > 0)
            {
                apnsLane!.Release(apns);
            }

            return false;
        }

        return true;
    }

    /// <summary>Refuses new pushes and waits for those admitted until the deadline.</summary>
    public async Task<int> DrainAsync(CancellationToken deadline)
    {
        var lanes = Lanes.ToArray();
        await Task.WhenAll(lanes.Select(lane => lane.DrainAsync(deadline)));
        return lanes.Sum(lane => lane.Abandoned);
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var app in apps)
        {
            await app.DisposeAsync();
        }
    }
}
