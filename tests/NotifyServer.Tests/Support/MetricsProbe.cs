using System.Diagnostics.Metrics;

namespace Marmot.NotifyServer.Tests.Support;

/// <summary>Counts what one server reports, and waits for it.</summary>
internal sealed class MetricsProbe : IDisposable
{
    private readonly MeterListener _listener = new();
    private readonly Lock _gate = new();
    private readonly Dictionary<string, long> _counts = [];
    private readonly List<(string Key, long Count, TaskCompletionSource Done)> _waiting = [];

    public MetricsProbe(NotifyMetrics metrics)
    {
        _listener.InstrumentPublished = (instrument, listener) =>
        {
            if (ReferenceEquals(instrument.Meter, metrics.Meter) && instrument is Counter<long>)
            {
                listener.EnableMeasurementEvents(instrument);
            }
        };
        _listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) =>
        {
            lock (_gate)
            {
                Add(instrument.Name, value);
                foreach (var tag in tags)
                {
                    Add($"{instrument.Name}:{tag.Value}", value);
                }

                _waiting.RemoveAll(entry => _counts.GetValueOrDefault(entry.Key) >= entry.Count && entry.Done.TrySetResult());
            }
        });
        _listener.Start();
    }

    /// <summary>Events by outcome.</summary>
    public long Events(string outcome) => Count($"marmot_notify_events:{outcome}");

    public Task EventsAsync(string outcome, long count) => UntilAsync($"marmot_notify_events:{outcome}", count);

    /// <summary>Ended pushes by end or reason.</summary>
    public long Ended(string end) => Count($"marmot_notify_pushes_ended:{end}");

    public Task EndedAsync(string end, long count) => UntilAsync($"marmot_notify_pushes_ended:{end}", count);

    public long Lost(string cause) => Count($"marmot_notify_tokens_lost:{cause}");

    public long Count(string key)
    {
        lock (_gate)
        {
            return _counts.GetValueOrDefault(key);
        }
    }

    public Task UntilAsync(string key, long count)
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_gate)
        {
            if (_counts.GetValueOrDefault(key) >= count)
            {
                return Task.CompletedTask;
            }

            _waiting.Add((key, count, done));
        }

        return done.Task.WaitAsync(TimeSpan.FromSeconds(30));
    }

    public void Dispose() => _listener.Dispose();

    private void Add(string key, long value) => _counts[key] = _counts.GetValueOrDefault(key) + value;
}
