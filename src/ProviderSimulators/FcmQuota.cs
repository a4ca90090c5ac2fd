namespace Marmot.ProviderSimulators;

/// <summary>Token buckets that refill over a minute. Thread-safe.</summary>
internal sealed class FcmQuota(TimeProvider clock)
{
    private readonly Lock _gate = new();
    private readonly Dictionary<string, Bucket> _buckets = [];

    /// <summary>Takes one from the bucket of the name; a limit of 0 is no limit.</summary>
    public bool TryTake(string name, int perMinute)
    {
        if (perMinute == 0) return true;
        lock (_gate)
        {
            var now = clock.GetTimestamp();
            if (!_buckets.TryGetValue(name, out var bucket)) bucket = new Bucket(perMinute, now);
            var left = Math.Min(perMinute, bucket.Left + clock.GetElapsedTime(bucket.At, now).TotalMinutes * perMinute);
            var taken = left >= 1;
            _buckets[name] = new Bucket(taken ? left - 1 : left, now);
            return taken;
        }
    }

    private readonly record struct Bucket(double Left, long At);
}
