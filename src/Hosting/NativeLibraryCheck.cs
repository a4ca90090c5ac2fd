using Marmot.Platform.Native;
using Microsoft.Extensions.Hosting;

namespace Marmot.Hosting;

/// <summary>One native library that this process needs.</summary>
/// <param name="Library">Its name, as <see cref="NativeLibraries"/> knows it.</param>
/// <param name="Try">Uses it once; throws when it is not what it should be.</param>
public sealed record NativeProbe(string Library, Action Try);

/// <summary>Tries every native library before any part of the process starts, and stops the start with the package to install when one is missing or
/// broken.</summary>
/// <remarks>Without it a push server that cannot decrypt would start, be ready, and drop every push.</remarks>
internal sealed class NativeLibraryCheck(IEnumerable<NativeProbe> probes) : IHostedLifecycleService
{
    /// <summary>Before any <see cref="IHostedService.StartAsync"/>.</summary>
    /// <exception cref="InvalidOperationException">A library is missing or broken; the message says which and what to install.</exception>
    public Task StartingAsync(CancellationToken cancellationToken)
    {
        foreach (var probe in probes)
        {
            try
            {
                probe.Try();
            }
            catch (Exception exception)
            {
                throw new InvalidOperationException(Describe(probe.Library, exception), exception);
            }
        }

        return Task.CompletedTask;
    }

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    // A failed static constructor hides the cause behind itself.
    private static string Describe(string library, Exception exception)
    {
        while (exception is TypeInitializationException { InnerException: { } inner })
        {
            exception = inner;
        }

        return exception is DllNotFoundException ? exception.Message
            : $"the native library {library} is broken or too old ({exception.Message.TrimEnd('.')}). {NativeSelfTest.InstallAdvice(library)}";
    }
}
