using System.IO.Pipelines;

namespace Marmot.Blossom.Intake;

/// <summary>A body could not be read: the fault of who sends it, never of our storage. The HTTP server's own exceptions do not tell the two apart.</summary>
internal sealed class BodyReadException(Exception inner) : Exception("the body could not be read", inner)
{
    /// <summary>The next piece of a body.</summary>
    /// <exception cref="BodyReadException">The connection broke, or what came is not well-formed.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public static async ValueTask<ReadResult> ReadAsync(PipeReader body, CancellationToken cancellationToken)
    {
        try
        {
            return await body.ReadAsync(cancellationToken);
        }
        catch (Exception error) when (error is not OperationCanceledException)
        {
            throw new BodyReadException(error);
        }
    }
}
