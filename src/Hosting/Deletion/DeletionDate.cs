using System.Globalization;
using Marmot.Hosting.Health;
using Marmot.Hosting.Settings;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Marmot.Hosting.Deletion;

/// <summary>The date that deletions for good go by. A system date that jumps ahead is believed only after it has stood for <see cref="Hold"/>; until then this
/// date goes on with the timestamps.</summary>
/// <remarks>
/// A clock that is a year ahead for a minute would otherwise delete a year of data. A step back is believed at once: it deletes later, which harms nothing.
/// What is served, listed and accepted goes by the system date: that can be put right. Two callers at a time are allowed. See
/// docs/decisions/0023-deletions-do-not-follow-a-jump-of-the-clock.md.
/// </remarks>
/// <param name="past">What is known from before this process.</param>
/// <param name="time">The clock.</param>
/// <param name="logger">Is told when deletions are held back, and when that ends.</param>
public sealed partial class DeletionDate(IDeletionPast past, TimeProvider time, ILogger<DeletionDate> logger) : IHealthPart
{
    private static readonly TimeSpan KeepInterval = TimeSpan.FromMinutes(5);

    private readonly Lock _gate = new();
    private volatile bool _isOpen;
    private DateTimeOffset _date; // the last date believed
    private TimeSpan _at; // uptime then
    private TimeSpan? _keptAt;
    private (TimeSpan Since, TimeSpan By)? _ahead; // uptime when a system date ahead was first seen, and how far ahead

    /// <summary>How far the system date may be ahead at once. Ten minutes: more than a time server corrects while a machine runs, less than any
    /// retention.</summary>
    public static TimeSpan Tolerance { get; } = TimeSpan.FromMinutes(10);

    /// <summary>How long, by timestamps, a date further ahead must stand. One hour: a wrong clock is put right or noticed by then, and a machine that was off
    /// deletes an hour late.</summary>
    public static TimeSpan Hold { get; } = TimeSpan.FromHours(1);

    /// <inheritdoc/>
    public string Name => "deletions";

    /// <inheritdoc/>
    public HealthState Check()
    {
        lock (_gate)
        {
            return _ahead is { } ahead ? new HealthState(true, "held back: the system date is ahead by " + InDays(ahead.By)) : HealthState.Ok;
        }
    }

    /// <summary>The date now. Whatever ended by it may be deleted.</summary>
    /// <exception cref="IOException">What is known from before this process cannot be asked; nothing may be deleted.</exception>
    public async ValueTask<DateTimeOffset> GetAsync(CancellationToken cancel)
    {
        if (!_isOpen)
        {
            var last = await past.ReadAsync(cancel);
            lock (_gate)
            {
                if (!_isOpen)
                {
                    (_date, _at) = (last ?? time.GetUtcNow(), time.GetUptime());
                    _isOpen = true;
                }
            }
        }

        DateTimeOffset date;
        lock (_gate)
        {
            var now = time.GetUptime();
            date = Judge(time.GetUtcNow(), now);
            if (_keptAt is { } at && now - at < KeepInterval)
            {
                return date;
            }

            _keptAt = now;
        }

        past.Keep(date);
        return date;
    }

    private DateTimeOffset Judge(DateTimeOffset system, TimeSpan now)
    {
        var believed = _date + (now - _at);
        var by = system - believed;
        if (by > Tolerance)
        {
            // A date that moves while it is held back has not stood.
            if (_ahead is not { } ahead || (by - ahead.By).Duration() > Tolerance)
            {
                if (_ahead is null)
                {
                    LogHeld(logger, InDays(by), Hold);
                }

                _ahead = (now, by);
                return believed;
            }

            if (now - ahead.Since < Hold)
            {
                return believed;
            }

            LogBelieved(logger);
        }
        else if (_ahead is not null)
        {
            LogPutRight(logger);
        }

        (_date, _at, _ahead) = (system, now, null);
        return system;
    }

    private static string InDays(TimeSpan span) => string.Create(CultureInfo.InvariantCulture, $"{span.TotalDays:F2} days");

    [LoggerMessage(10, LogLevel.Warning,
        "the system date is {By} ahead of the time that passed: no event or blob is deleted for having ended or for its age by that date until it has stood "
            + "for {Hold}; check the clock")]
    private static partial void LogHeld(ILogger logger, string by, TimeSpan hold);

    [LoggerMessage(11, LogLevel.Warning, "the system date has stood and is believed: deletions by date go on")]
    private static partial void LogBelieved(ILogger logger);

    [LoggerMessage(12, LogLevel.Information, "the system date was put right: nothing was deleted by the wrong one")]
    private static partial void LogPutRight(ILogger logger);
}

/// <summary>Registers <see cref="DeletionDate"/>.</summary>
public static class DeletionDateServices
{
    /// <summary>One for the process, whichever roles it has; nothing when there is one.</summary>
    public static void AddDeletionDate(this IServiceCollection services)
    {
        if (services.Any(service => service.ServiceType == typeof(DeletionDate)))
        {
            return;
        }

        services.AddSingleton(provider =>
        {
            var storage = provider.GetRequiredService<IOptions<StorageOptions>>().Value;
            IDeletionPast past = storage.Postgres.Length > 0 ? new DatabaseDate(storage.Postgres) : new DeletionDateFile(storage.DataDirectory);
            return new DeletionDate(past, provider.GetRequiredService<TimeProvider>(), provider.GetRequiredService<ILogger<DeletionDate>>());
        });
        services.AddSingleton<IHealthPart>(provider => provider.GetRequiredService<DeletionDate>());
    }
}
