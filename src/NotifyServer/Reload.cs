using System.Runtime.InteropServices;
using System.Threading.Channels;
using Marmot.NotifyServer.Apps;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Marmot.NotifyServer;

/// <summary>Reads the settings anew, as they are in their sources now.</summary>
internal interface ISettingsSource
{
    /// <summary>The file the operator wrote, if there is one: watched like the credentials.</summary>
    string? File { get; }

    /// <exception cref="Exception">The sources cannot be read or bound.</exception>
    NotifyOptions Read();
}

/// <summary>The process's own configuration, built again from the same sources. The live one stays as it is: other servers in the process have not asked for a
/// reload.</summary>
internal sealed class ConfiguredSettings(ConfigurationManager configuration, Action<NotifyOptions> setDefaults) : ISettingsSource
{
    public string? File => configuration["config"];

    public NotifyOptions Read()
    {
        var builder = new ConfigurationBuilder();
        foreach (var source in ((IConfigurationBuilder)configuration).Sources)
        {
            builder.Add(source);
        }

        using var fresh = (IDisposable)builder.Build();
        var options = ((IConfiguration)fresh).GetSection(NotifyOptions.Section).Get<NotifyOptions>() ?? new NotifyOptions();
        setDefaults(options);
        return options;
    }
}

/// <summary>Takes over credentials and limits while the server runs: on SIGHUP, and when a credential file or the settings file changes.</summary>
/// <remarks>Made right after the credentials were read, so that no change of theirs falls in between. One reload at a time. A mistake changes nothing and is
/// logged; queued and running pushes never notice more than another provider object.</remarks>
internal sealed class ReloadLoop
{
    private readonly NotifyService _service;
    private readonly ISettingsSource _source;
    private readonly NotifyMetrics _metrics;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly Channel<bool> _wanted = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });
    private readonly CredentialWatch _watch = new();

    public ReloadLoop(NotifyService service, ISettingsSource source, NotifyMetrics metrics, TimeProvider time, ILogger logger)
    {
        _service = service;
        _source = source;
        _metrics = metrics;
        _time = time;
        _logger = logger;
        _watch.HasChanged(Files());
    }

    /// <summary>Watches until cancelled.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        using var hangUp = OperatingSystem.IsWindows() ? null : PosixSignalRegistration.Create(PosixSignal.SIGHUP, context =>
        {
            context.Cancel = true; // the default ends the process
            Request();
        });
        try
        {
            while (true)
            {
                var interval = _service.Options.ReloadInterval;
                var asked = await WaitAsync(interval > TimeSpan.Zero ? interval : Timeout.InfiniteTimeSpan, cancellationToken);
                var changed = _watch.HasChanged(Files());
                if (asked || changed)
                {
                    Reload();
                }
            }
        }
        catch (OperationCanceledException)
        {
            // Stopped.
        }
    }

    /// <summary>Asks for a reload soon.</summary>
    public void Request() => _wanted.Writer.TryWrite(true);

    private async Task<bool> WaitAsync(TimeSpan interval, CancellationToken cancellationToken)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var asked = _wanted.Reader.WaitToReadAsync(either.Token).AsTask();
        await Task.WhenAny(asked, Task.Delay(interval, _time, either.Token));
        await either.CancelAsync();
        cancellationToken.ThrowIfCancellationRequested();
        return _wanted.Reader.TryRead(out _);
    }

    private void Reload()
    {
        try
        {
            var fresh = _source.Read();
            var check = new NotifyOptionsValidator().Validate(null, fresh);
            if (check.Failed)
            {
                throw new OptionsValidationException(NotifyOptions.Section, typeof(NotifyOptions), check.Failures!);
            }

            var (taken, left) = _service.Apply(fresh);
            _metrics.Reload(taken: true);
            NotifyLog.Reloaded(_logger, string.Join(", ", taken));
            if (left.Count > 0)
            {
                NotifyLog.ReloadLeft(_logger, string.Join(", ", left));
            }
        }
        catch (OptionsValidationException e)
        {
            _metrics.Reload(taken: false);
            NotifyLog.ReloadRefused(_logger, string.Join("; ", e.Failures));
        }
        catch (InvalidDataException e)
        {
            _metrics.Reload(taken: false);
            NotifyLog.ReloadRefused(_logger, e.Message); // ours: names the file, quotes nothing
        }
        catch (Exception e)
        {
            _metrics.Reload(taken: false);
            NotifyLog.ReloadRefused(_logger, e.GetType().Name); // the framework's text may quote the settings file
        }
    }

    private IEnumerable<string> Files()
    {
        var files = _service.AppSettings.SelectMany(app => new[] { app.Apns.KeyFile, app.Fcm.ServiceAccountFile, app.CaFile });
        return files.Append(_source.File ?? "").Where(file => file.Length > 0).Distinct();
    }
}
