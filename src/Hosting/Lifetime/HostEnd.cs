using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Marmot.Hosting.Lifetime;

/// <summary>Runs a host so that a stop always ends well: with exit code 0, within its deadline, whatever clients do.</summary>
public static partial class HostEnd
{
    private const int Failed = 1;

    /// <summary>Starts, stays until the process is told to stop, and stops. The exit code: 0, or 1 when a part of the server broke.</summary>
    public static async Task<int> RunToEndAsync(this WebApplication app)
    {
        await using (app)
        {
            return await app.TryStartAsync() ? await app.WaitForEndAsync() : await app.StopInTimeAsync();
        }
    }

    /// <summary>Starts; false when the process was told to stop meanwhile. <see cref="StopInTimeAsync"/> follows then.</summary>
    public static async Task<bool> TryStartAsync(this WebApplication app)
    {
        try
        {
            await app.StartAsync();
            return true;
        }
        catch (OperationCanceledException) when (app.Lifetime.ApplicationStopping.IsCancellationRequested)
        {
            return false;
        }
    }

    /// <summary>Stays until the process is told to stop, and stops. The exit code: 0, or 1 when a part of the server broke.</summary>
    public static async Task<int> WaitForEndAsync(this WebApplication app)
    {
        var stopping = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using (app.Lifetime.ApplicationStopping.Register(() => stopping.TrySetResult()))
        {
            await stopping.Task;
        }

        return await app.StopInTimeAsync();
    }

    /// <summary>Stops all parts. One that runs out of time is no failure: what clients hold open is cut off.</summary>
    public static async Task<int> StopInTimeAsync(this WebApplication app)
    {
        var log = app.Services.GetRequiredService<ILoggerFactory>().CreateLogger(typeof(HostEnd));
        try
        {
            await app.StopAsync(app.Services.GetRequiredService<DrainLifetime>().Hurry);
        }
        catch (Exception exception) when (IsOutOfTime(exception))
        {
            OutOfTime(log);
        }
        catch (Exception exception)
        {
            StopFailed(log, exception);
            return Failed;
        }

        return Environment.ExitCode == 0 ? 0 : Failed; // a server's critical fault sets it
    }

    private static bool IsOutOfTime(Exception exception) =>
        exception is OperationCanceledException or TimeoutException || (exception is AggregateException several && several.InnerExceptions.All(IsOutOfTime));

    [LoggerMessage(1, LogLevel.Warning, "not everything could end in the time for a stop; what was left is cut off")]
    private static partial void OutOfTime(ILogger logger);

    [LoggerMessage(2, LogLevel.Error, "a part of the server failed while it stopped")]
    private static partial void StopFailed(ILogger logger, Exception exception);
}
