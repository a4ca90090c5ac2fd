using System.Runtime.InteropServices;

namespace Marmot.Hosting.Lifetime;

/// <summary>SIGTERM, SIGINT and SIGQUIT, heard from the moment the host is being built: one that comes during the start ends it as any other.</summary>
public sealed class StopSignals : IDisposable
{
    private readonly Lock _lock = new();
    private readonly List<PosixSignalRegistration> _registrations = [];
    private Action<bool>? _listener;
    private int _heard;
    private bool _isInterrupted;

    /// <summary>Begins to listen.</summary>
    public StopSignals()
    {
        foreach (var signal in new[] { PosixSignal.SIGTERM, PosixSignal.SIGINT, PosixSignal.SIGQUIT })
        {
            _registrations.Add(PosixSignalRegistration.Create(signal, Hear));
        }
    }

    /// <summary>Tells <paramref name="listener"/> of each signal, those heard so far included; true for SIGINT.</summary>
    public void Attach(Action<bool> listener)
    {
        int heard;
        lock (_lock)
        {
            _listener = listener;
            heard = _heard;
        }

        for (; heard > 0; heard--)
        {
            listener(_isInterrupted);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _registrations.ForEach(registration => registration.Dispose());

    private void Hear(PosixSignalContext context)
    {
        Action<bool>? listener;
        lock (_lock)
        {
            listener = _listener;
            _heard++;
            _isInterrupted |= context.Signal == PosixSignal.SIGINT;

            // The process ends when the host has stopped, not now. A second signal while nobody is attached yet does what it does by default.
            context.Cancel = listener is not null || _heard == 1;
        }

        listener?.Invoke(context.Signal == PosixSignal.SIGINT);
    }
}
