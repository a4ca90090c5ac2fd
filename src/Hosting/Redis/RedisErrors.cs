using StackExchange.Redis;

namespace Marmot.Hosting.Redis;

/// <summary>The command could not be sent: no connection. It was surely not done.</summary>
public sealed class RedisUnavailableException(Exception? inner = null) : IOException("Redis is not connected", inner);

/// <summary>The reply to a command was lost or was not the one asked for: whether the server did it is unknown.</summary>
public sealed class RedisReplyLostException(Exception? inner = null) : IOException("the reply of Redis was lost", inner);

/// <summary>The library's exceptions as the two things a caller must tell apart: surely not done, and perhaps done.</summary>
internal static class RedisErrors
{
    /// <summary>Waits for a reply.</summary>
    /// <exception cref="RedisUnavailableException">Not sent, surely not done.</exception>
    /// <exception cref="RedisReplyLostException">Sent, perhaps done.</exception>
    /// <exception cref="IOException">The server refused: it loads its data, is full, read-only, or the user may not.</exception>
    public static async Task<T> AskAsync<T>(Func<Task<T>> command, CancellationToken cancel)
    {
        try
        {
            return await command().WaitAsync(cancel);
        }
        catch (RedisServerException refused)
        {
            throw new IOException("Redis refused: " + refused.Message.Split(' ', 2)[0], refused);
        }
        catch (Exception exception) when (exception is not (OperationCanceledException or IOException)) // a reply of another shape has exceptions of its own
        {
            throw WasSent(exception) ? new RedisReplyLostException(exception) : new RedisUnavailableException(exception);
        }
    }

    // Unknown counts as sent. An exception without a status comes before the command was given to any connection.
    private static bool WasSent(Exception exception) => exception switch
    {
        RedisTimeoutException timeout => timeout.Commandstatus is not (CommandStatus.WaitingToBeSent or CommandStatus.WaitingInBacklog),
        RedisConnectionException { FailureType: ConnectionFailureType.UnableToResolvePhysicalConnection } => false,
        RedisConnectionException lost => lost.CommandStatus is not (CommandStatus.WaitingToBeSent or CommandStatus.WaitingInBacklog),
        ObjectDisposedException => false,
        _ => true,
    };
}
