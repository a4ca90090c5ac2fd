using System.Net.Sockets;

namespace Marmot.AllInOne;

/// <summary>Why a start failed, in one line that names the setting or command that helps.</summary>
internal static class StartErrors
{
    /// <summary>An address that cannot be listened on.</summary>
    internal static string Describe(SocketException error, string setting, BindingAddress address) => error.SocketErrorCode switch
    {
        SocketError.AddressAlreadyInUse =>
            $"{setting}: port {address.Port} is in use by another program. Stop that one, or take another "
                + $"port: --{setting}=http://{address.Host}:{(address.Port > 64000 ? 8080 : address.Port + 1000)}",
        SocketError.AccessDenied =>
            $"{setting}: port {address.Port} is not allowed to this user ({Environment.UserName}); ports below 1024 usually are for root. Take "
                + $"another: --{setting}=http://{address.Host}:8080",
        SocketError.AddressNotAvailable =>
            $"{setting}: {address.Host} is no address of this machine. Take one of its own, or http://0.0.0.0:{address.Port} for all",
        _ => $"{setting}: {address} cannot be listened on: {error.Message}",
    };

    /// <summary>Anything else that ended the start.</summary>
    internal static string Describe(Exception exception)
    {
        for (Exception? cause = exception; cause is not null; cause = cause.InnerException)
        {
            switch (cause)
            {
                case DllNotFoundException:
                    return cause.Message;
                case SocketException socket:
                    return "an address cannot be listened on (Public:Urls, Admin:Urls): " + socket.Message;
            }
        }

        // A lock file that another process holds: of the embedded store, the blob index or the client store.
        if (exception is IOException { Message: var message } && message.Contains("being used by another process", StringComparison.Ordinal))
        {
            string[] quoted = message.Split('\'');
            string folder = quoted.Length > 1 ? Path.GetDirectoryName(quoted[1]) ?? quoted[1] : "the data folder";
            return $"{folder} is in use by another server. Stop that one, or take another folder: --Storage:DataDirectory=FOLDER";
        }

        return exception.Message.Split('\n')[0].TrimEnd();
    }
}
