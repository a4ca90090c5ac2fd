namespace Marmot.Client;

/// <summary>Something asked of the client could not be done; the state is as it was. The message is for people and holds no secrets.</summary>
public sealed class ClientException : Exception
{
    /// <summary>Without a reason.</summary>
    public ClientException()
    {
    }

    /// <summary>With the reason.</summary>
    public ClientException(string message)
        : base(message)
    {
    }

    /// <summary>With the reason and its cause.</summary>
    public ClientException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}
